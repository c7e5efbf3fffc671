import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { renderChart, renderManifest } from '@flannel-ts/infra/kubernetes/manifest';
import { flannelObjects } from '@flannel-ts/infra/kubernetes/objects';
import { ToolError } from '../setup/errors.mjs';
import { run } from '../setup/exec.mjs';
import { step } from '../setup/progress.mjs';
import { writeArchive } from './archive.ts';
import type { CompileTask } from './compile.ts';
import { imageName } from './flannel-image.ts';
import { hashFiles, listInputs, sha256, sha256OfFile } from './inputs.mjs';

/** As in names of Go, flannel and Debian. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };
/** What goes into every executable. */
const SHARED_INPUTS = ['package-lock.json', 'packages', 'tools/build', 'daemon/build'];

/** One part of a build. It is made again when the contents of its inputs have changed, or an output is gone. */
interface Part {
  readonly name: string;
  /** Files and directories, relative to the root. */
  readonly inputs: readonly string[];
  /** What else it depends on. */
  readonly salt?: string;
  /** Relative to the root. */
  readonly outputs: readonly string[];
  readonly make: () => Promise<void>;
}

export interface Executable {
  readonly name: string;
  /** Below dist. */
  readonly path: string;
  /** The first is the program, the others are its workers. */
  readonly entries: readonly string[];
  readonly inputs: readonly string[];
  /** It runs for milliseconds. */
  readonly isBrief?: boolean;
}

export const EXECUTABLES: readonly Executable[] = [
  { name: 'flanneld', path: 'flanneld', entries: ['daemon/src/main.ts'], inputs: ['daemon'] },
  { name: 'the CNI plugin', path: 'cni/flannel', entries: ['cni/src/main.ts'], inputs: ['cni'], isBrief: true },
];

/** Builds all that is out of date. */
export async function buildAll(root: string, env: NodeJS.ProcessEnv): Promise<void> {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  for (const executable of EXECUTABLES) await makePart(root, executablePart(root, env, version, executable));
  await makePart(root, manualPart(root));
  await buildInfraOnly(root);
  await makePart(root, archivePart(root, version));
  await makePart(root, manifestPart(root, version));
}

type InfraBuild = typeof import('../../infra/build.mjs');

/** What the removal of a stack needs. */
export async function buildInfraOnly(root: string): Promise<void> {
  const { ensureBuilt } = (await import(pathToFileURL(join(root, 'infra', 'build.mjs')).href)) as InfraBuild;
  await ensureBuilt((work) => step('Building the Pulumi program', work));
}

function executablePart(root: string, env: NodeJS.ProcessEnv, version: string, executable: Executable): Part {
  const { name, path, inputs } = executable;
  return {
    name,
    inputs: [...SHARED_INPUTS, ...inputs],
    salt: `${version} ${process.arch}`,
    outputs: [join('dist', path)],
    async make() {
      const output = join(root, 'dist', path);
      // The name becomes part of the program, so only the directory may be another.
      const work = join(root, 'dist', '.work', String(process.pid), path);
      await compile(root, env, version, executable, work);
      mkdirSync(dirname(output), { recursive: true });
      renameSync(work, output); // one that runs keeps its own file
    },
  };
}

export async function compile(
  root: string,
  env: NodeJS.ProcessEnv,
  version: string,
  { name, entries, isBrief = false }: Executable,
  outfile: string,
): Promise<void> {
  const paths = entries.map((entry) => join(root, entry));
  const missing = paths.find((path) => !existsSync(path));
  if (missing !== undefined) throw new ToolError('BUILD', `Cannot build ${name}: ${missing} does not exist`);
  mkdirSync(dirname(outfile), { recursive: true });
  const target = `bun-linux-${process.arch}`;
  const task: CompileTask = { entries: paths, outfile, version, target, isBrief };
  const bun = join(root, 'node_modules', '.bin', 'bun');
  await run(bun, [join(root, 'tools', 'build', 'compile.ts'), JSON.stringify(task)], { cwd: root, env });
}

/** The program has it, for nodes without this repository. */
function manualPart(root: string): Part {
  const output = join('dist', 'man', 'flanneld.8');
  return {
    name: 'the manual page',
    inputs: ['dist/flanneld'],
    outputs: [output],
    async make() {
      const page = execFileSync(join(root, 'dist', 'flanneld'), ['man'], { encoding: 'utf8' });
      mkdirSync(dirname(join(root, output)), { recursive: true });
      writeFileSync(join(root, output), page);
    },
  };
}

/** For clusters whose objects are not made by Pulumi. */
function manifestPart(root: string, version: string): Part {
  const values = {
    network: { Network: '10.244.0.0/16', Backend: { Type: 'vxlan' } },
    image: imageName(version),
    imagePullPolicy: 'IfNotPresent',
  } as const;
  const chart = [...renderChart(version, values)].map(
    ([name, text]) => [join('dist', 'chart', 'flannel', name), text] as const,
  );
  const files = new Map([[join('dist', 'kube-flannel.yaml'), renderManifest(flannelObjects(values))], ...chart]);
  return {
    name: 'the manifest and the chart for Kubernetes',
    inputs: ['infra/kubernetes'],
    salt: version,
    outputs: [...files.keys()],
    async make() {
      for (const [file, text] of files) {
        mkdirSync(dirname(join(root, file)), { recursive: true });
        writeFileSync(join(root, file), text);
      }
    },
  };
}

function archivePart(root: string, version: string): Part {
  const dist = join(root, 'dist');
  const file = `flannel-${version}-linux-${ARCHITECTURES[process.arch] ?? process.arch}.tar.gz`;
  const paths = EXECUTABLES.map(({ path }) => path);
  return {
    name: 'the archive for the nodes',
    inputs: paths.map((path) => join('dist', path)),
    salt: `${version} ${sha256OfFile(join(root, 'tools/build/archive.ts'))}`,
    outputs: [join('dist', file), 'dist/manifest.json'],
    async make() {
      const files = paths.map((path) => {
        const absolute = join(dist, path);
        return { path, sha256: sha256OfFile(absolute), size: statSync(absolute).size };
      });
      const work = join(dist, '.work', String(process.pid));
      mkdirSync(work, { recursive: true });
      writeFileSync(join(work, 'manifest.json'), toText({ version, files }));
      const packed = [...paths.map((path) => ({ directory: dist, path })), { directory: work, path: 'manifest.json' }];
      await writeArchive(join(work, file), packed);
      const artifact = { file, sha256: sha256OfFile(join(work, file)) };
      for (const name of readdirSync(dist)) if (/^flannel-.*\.tar\.gz$/.test(name)) rmSync(join(dist, name));
      renameSync(join(work, file), join(dist, file));
      writeFileSync(join(work, 'manifest.json'), toText({ version, artifact, files }));
      renameSync(join(work, 'manifest.json'), join(dist, 'manifest.json'));
    },
  };
}

function toText(value: object): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

async function makePart(root: string, { name, inputs, salt = '', outputs, make }: Part): Promise<void> {
  const record = join(root, 'dist', '.build', `${sha256(name).slice(0, 16)}.json`);
  const hash = sha256(`${salt} ${hashInputs(root, inputs)}`);
  if (isFresh(root, record, hash, outputs)) return;
  rmSync(record, { force: true });
  await step(`Building ${name}`, make).finally(() =>
    rmSync(join(root, 'dist', '.work', String(process.pid)), { recursive: true, force: true }),
  );
  mkdirSync(dirname(record), { recursive: true });
  writeFileSync(record, JSON.stringify({ name, hash, outputs: outputs.map((path) => identify(root, path)) }));
}

function hashInputs(root: string, inputs: readonly string[]): string {
  // Outputs of other parts: their directory is not among a listing's files.
  const built = inputs.filter((input) => input.startsWith('dist/'));
  const sources = listInputs(
    root,
    inputs.filter((input) => !input.startsWith('dist/')),
  );
  return sha256(`${hashFiles(root, sources)} ${built.map((path) => identify(root, path)).join(' ')}`);
}

function isFresh(root: string, record: string, hash: string, outputs: readonly string[]): boolean {
  try {
    const last = JSON.parse(readFileSync(record, 'utf8')) as { readonly hash: string; readonly outputs: string[] };
    return last.hash === hash && outputs.every((path, index) => identify(root, path) === last.outputs[index]);
  } catch {
    return false; // never made, or an output is gone
  }
}

/** Tells a big file from another one without reading it. */
function identify(root: string, path: string): string {
  const { size, mtimeMs, ino } = statSync(join(root, path));
  return `${path}:${size}:${mtimeMs}:${ino}`;
}
