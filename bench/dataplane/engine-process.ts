/** A process with one of our engines and no control side, compiled as flanneld is: by the same call of the same Bun. */
import { type ChildProcess, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { startIn } from './processes.ts';

/** Benchmarks are run at the root of the checkout. */
const ROOT = process.cwd();
const ENTRY = join(ROOT, 'daemon/testing/engine/node.ts');

/** `node` and `node-profile` are for comparison and for `--cpu-prof`; what is shipped is `bun`. */
export type Runtime = 'bun' | 'node' | 'node-profile';

export interface Program {
  readonly command: readonly string[];
  /** A file beside it, gone when the program is removed. */
  path(name: string): string;
  remove(): void;
}

/** Beside the repository's packages, where a Node bundle finds koffi. */
export function buildProgram(runtime: Runtime): Program {
  const directory = join(ROOT, `node_modules/.cache/bench-${process.pid}`);
  mkdirSync(directory, { recursive: true });
  const remove = (): void => rmSync(directory, { recursive: true, force: true });
  try {
    const command = runtime === 'bun' ? compile(directory) : bundle(directory, runtime);
    return { command, path: (name) => join(directory, name), remove };
  } catch (error) {
    remove();
    throw error;
  }
}

function compile(directory: string): string[] {
  const outfile = join(directory, 'node');
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const task = { entries: [ENTRY], outfile, version, target: `bun-linux-${process.arch}` };
  const script = join(ROOT, 'tools/build/compile.ts');
  execFileSync(join(ROOT, 'node_modules/.bin/bun'), [script, JSON.stringify(task)], { cwd: ROOT });
  return [outfile];
}

function bundle(directory: string, runtime: Runtime): string[] {
  const outfile = join(directory, 'node.cjs');
  const script = `
    import { build } from 'esbuild';
    import { workerDefine } from './daemon/build/workers.mjs';
    await build({ entryPoints: [process.argv[1]], outfile: process.argv[2], bundle: true,
      platform: 'node', format: 'cjs', define: await workerDefine(), external: ['koffi', 'esbuild'] });`;
  execFileSync(process.execPath, ['--input-type=module', '-e', script, ENTRY, outfile], { cwd: ROOT });
  const profile =
    runtime === 'node-profile' ? ['--cpu-prof', `--cpu-prof-dir=${join(ROOT, 'dist/bench/profile')}`] : [];
  return [process.execPath, ...profile, outfile];
}

export class EngineProcess {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  /** `settings` are further properties of the engine's configuration. */
  constructor(program: Program, netns: string, args: readonly string[], settings: object = {}) {
    this.#child = startIn({ netns }, [...program.command, ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ENGINE_SETTINGS: JSON.stringify(settings) },
    });
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** Null while it runs, and when a signal ended it. */
  get exitCode(): number | null {
    return this.#child.exitCode;
  }

  async started(): Promise<void> {
    const { value } = await this.#lines.next();
    if (value !== 'running') throw new Error(`The engine's process did not start: ${value}`);
  }

  async counters(): Promise<Readonly<Record<string, unknown>>> {
    this.#child.stdin!.write('\n');
    return JSON.parse((await this.#lines.next()).value as string) as Record<string, unknown>;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.stdin!.end();
    const late = setTimeout(() => this.#child.kill('SIGKILL'), 8000);
    await ended;
    clearTimeout(late);
  }
}
