import { chmodSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { CniError, ErrorCode, formatError } from '../../cni/src/errors.ts';
import { CURRENT_VERSION, formatVersionInfo } from '../../cni/src/protocol.ts';
// Run by Bun, not by Node.js: only Bun.build takes plugins, which its command line does not.
import { etcd3ProtoPlugin } from '../../daemon/build/etcd3-proto-plugin.mjs';
import { workerDefine } from '../../daemon/build/workers.mjs';
import { guardEntry } from './guard-entry.ts';

/** As JSON, the one argument. */
export interface CompileTask {
  readonly entries: readonly string[];
  readonly outfile: string;
  readonly version: string;
  readonly target: string;
  /** The program ends within milliseconds, where compiling its functions to machine code costs more than it gives. */
  readonly isBrief?: boolean;
}

/** As far as it is used here: its own types would take the place of those of Node.js. */
interface Bundler {
  build(options: object): Promise<{ readonly logs: readonly unknown[] }>;
}

const { entries, outfile, version, target, isBrief = false } = JSON.parse(process.argv[2] ?? '') as CompileTask;
const { Bun } = globalThis as unknown as { readonly Bun: Bundler };

/**
 * Where a compiled program believes to be. Bun would write down where each CommonJS module lay when it was built: a path of
 * the building machine, and another program for each checkout.
 */
const INSIDE = '/$bunfs/root';

const { logs } = await Bun.build({
  entrypoints: entries,
  target: 'bun',
  minify: true,
  bytecode: true,
  // Its own configuration, and what lies in the directory it is started in, are no business of a node's program.
  compile: { target, outfile, autoloadDotenv: false, autoloadBunfig: false, ...(isBrief && { jitPolicy: 100 }) },
  define: {
    FLANNEL_TS_VERSION: JSON.stringify(version),
    __dirname: JSON.stringify(INSIDE),
    __filename: JSON.stringify(`${INSIDE}/program`),
    ...(await workerDefine()),
  },
  plugins: [etcd3ProtoPlugin()],
});
// The daemon is started by whoever wrote its unit; the plugin by programs that know nothing of it.
if (isBrief) {
  const lost = new CniError(
    ErrorCode.tryAgainLater,
    "the plugin's resident process ended or did not answer",
    'send DEL, then ADD again',
  );
  const texts = { version: formatVersionInfo(), lost: formatError(lost, CURRENT_VERSION) };
  writeFileSync(`${outfile}.guarded`, guardEntry(readFileSync(outfile), texts));
  chmodSync(`${outfile}.guarded`, 0o755);
  renameSync(`${outfile}.guarded`, outfile);
}
for (const log of logs) process.stderr.write(`${log}\n`);
