import { execFileSync } from 'node:child_process';
import {
  accessSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, join, resolve } from 'node:path';
import { ToolError, UsageError } from '../setup/errors.mjs';
import { writeArchive } from './archive.ts';
import { sha256OfFile } from './inputs.mjs';

/** etcdutl restores snapshots from etcd 3.6 on; before, etcdctl does. */
const PROGRAMS = ['etcd', 'etcdctl', 'etcdutl'] as const;
const OPTIONAL = 'etcdutl';
/** What a member's machine does around etcd; versioned with it. */
const SCRIPT = 'infra/aws/boot/flannel-etcd.sh';

/** ELF's e_machine (elf.h). */
const MACHINES: Readonly<Record<number, string>> = { 62: 'amd64', 183: 'arm64' };

export interface EtcdArtifactOptions {
  /** A directory with the programs, or a tarball of etcd's release; default: those on PATH. */
  readonly from?: string;
  /** Of the tarball. */
  readonly sha256?: string;
  /** Of programs that cannot be run here to be asked. */
  readonly version?: string;
  /** Relative to the working directory. */
  readonly output?: string;
}

export interface EtcdArtifact {
  readonly file: string;
  readonly version: string;
  readonly architecture: string;
  readonly sha256: string;
}

/**
 * Packs etcd's programs with the script for its machines, and says what it packed in manifest.json. The same programs give
 * the same archive.
 */
export async function makeEtcdArtifact(
  root: string,
  options: EtcdArtifactOptions,
  env: NodeJS.ProcessEnv,
): Promise<EtcdArtifact> {
  const output = options.output === undefined ? join(root, 'dist', 'etcd') : resolve(options.output);
  const work = join(dirname(output), `.etcd-${process.pid}`);
  mkdirSync(join(work, 'files'), { recursive: true });
  try {
    const programs = collect(options, env, join(work, 'unpacked'));
    for (const [name, path] of Object.entries(programs)) copyFileSync(path, join(work, 'files', name));
    const architecture = oneArchitecture(programs);
    const version = options.version ?? askVersion(join(work, 'files', 'etcd'));
    copyFileSync(join(root, SCRIPT), join(work, 'files', 'flannel-etcd'));
    for (const name of readdirSync(join(work, 'files'))) execFileSync('chmod', ['0755', join(work, 'files', name)]);
    const names = readdirSync(join(work, 'files')).sort();
    const file = `etcd-${version}-linux-${architecture}.tar.gz`;
    mkdirSync(join(work, 'result'));
    await writeArchive(
      join(work, 'result', file),
      names.map((path) => ({ directory: join(work, 'files'), path })),
    );
    const sha256 = sha256OfFile(join(work, 'result', file));
    const files = names.map((path) => {
      const absolute = join(work, 'files', path);
      return { path, sha256: sha256OfFile(absolute), size: statSync(absolute).size };
    });
    const manifest = { version, architecture, artifact: { file, sha256 }, files };
    writeFileSync(join(work, 'result', 'manifest.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
    rmSync(output, { recursive: true, force: true });
    renameSync(join(work, 'result'), output);
    return { file: join(output, file), version, architecture, sha256 };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Paths by name. */
type Programs = Readonly<Record<string, string>>;

/** `unpacked`: where a tarball goes. */
function collect({ from, sha256 }: EtcdArtifactOptions, env: NodeJS.ProcessEnv, unpacked: string): Programs {
  if (from === undefined) return find((env.PATH ?? '').split(delimiter), 'on PATH');
  const source = resolve(from);
  const stats = statSync(source, { throwIfNoEntry: false });
  if (stats === undefined)
    throw new ToolError('ETCD', `${from} does not exist: name a directory with etcd and etcdctl`);
  if (stats.isDirectory()) return find([source], `in ${from}`);
  if (sha256 === undefined) {
    throw new UsageError(`${from} comes from elsewhere: give --sha256 with what the release's SHA256SUMS says of it`);
  }
  const found = sha256OfFile(source);
  if (found !== sha256) throw new ToolError('ETCD', `${from} has the sha256 ${found}, not ${sha256}: fetch it again`);
  mkdirSync(unpacked);
  execFileSync('tar', ['--extract', '--gzip', '--no-same-owner', '--file', source, '--directory', unpacked]);
  const below = readdirSync(unpacked, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return find([unpacked, ...below.map(({ name }) => join(unpacked, name))], `in ${from}`);
}

function find(directories: readonly string[], where: string): Programs {
  const programs: Record<string, string> = {};
  for (const name of PROGRAMS) {
    const path = directories.map((directory) => join(directory, name)).find(isProgram);
    if (path !== undefined) programs[name] = path;
    else if (name !== OPTIONAL) {
      throw new ToolError(
        'ETCD',
        `There is no ${name} ${where}: install Debian's etcd-server and etcd-client, or give --from a directory or a tarball of etcd's release`,
      );
    }
  }
  return programs;
}

function isProgram(path: string): boolean {
  if (!existsSync(path) || !statSync(path).isFile()) return false;
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function oneArchitecture(programs: Programs): string {
  const [first, ...others] = [...new Set(Object.entries(programs).map(([name, path]) => elfArchitecture(name, path)))];
  if (first === undefined || others.length > 0) {
    throw new ToolError('ETCD', `etcd's programs are of different architectures, ${[first, ...others].join(' and ')}`);
  }
  return first;
}

function elfArchitecture(name: string, path: string): string {
  const header = Buffer.alloc(20);
  const fd = openSync(path, 'r');
  try {
    readSync(fd, header);
  } finally {
    closeSync(fd);
  }
  const architecture = header.toString('latin1', 0, 4) === '\x7fELF' ? MACHINES[header.readUInt16LE(18)] : undefined;
  if (architecture === undefined) {
    throw new ToolError('ETCD', `${name} (${path}) is no program for amd64 or arm64: take those of a release of etcd`);
  }
  return architecture;
}

function askVersion(program: string): string {
  try {
    const said = execFileSync(program, ['--version'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ETCD_UNSUPPORTED_ARCH: process.arch },
    });
    const version = /^etcd Version: (\S+)/m.exec(said)?.[1];
    if (version !== undefined) return version;
  } catch {
    // of another architecture
  }
  throw new ToolError('ETCD', 'etcd does not say its version here: give it with --version');
}
