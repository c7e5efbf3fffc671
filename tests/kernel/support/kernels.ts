/** Debian's cloud kernels with all their modules, fetched once into the cache of this project. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';

/** Packages whose newest version each depends on the kernel itself. */
const META_PACKAGES = { '6.1': 'linux-image-cloud-amd64', '6.12': 'linux-image-6.12-cloud-amd64' } as const;
export type KernelVersion = keyof typeof META_PACKAGES;

export interface KernelImage {
  /** Of uname -r. */
  readonly release: string;
  readonly vmlinuz: string;
  /** What is /lib/modules/<release> on an installed system. */
  readonly modules: string;
}

const CACHE = path.join(process.env.XDG_CACHE_HOME ?? path.join(homedir(), '.cache'), 'flannel-ts', 'kernels');

export function fetchKernel(version: KernelVersion): KernelImage {
  const name = newestPackage(META_PACKAGES[version]);
  const directory = path.join(CACHE, name);
  if (!existsSync(directory)) download(name, directory);
  const [release] = readdirSync(path.join(directory, 'lib/modules'));
  return {
    release: release!,
    vmlinuz: path.join(directory, 'boot', `vmlinuz-${release}`),
    modules: path.join(directory, 'lib/modules', release!),
  };
}

function newestPackage(meta: string): string {
  const depends = execFileSync('apt-cache', ['depends', '--important', meta], { encoding: 'utf8' });
  const name = /Depends: (linux-image-[\w.+-]*amd64)/.exec(depends)?.[1];
  if (name === undefined) throw new Error(`No kernel is known by the name ${meta}: run apt-get update`);
  return name;
}

/** Beside its place first: another run may do the same, and half a download is none. */
function download(name: string, directory: string): void {
  const temporary = `${directory}.${process.pid}`;
  mkdirSync(temporary, { recursive: true });
  try {
    execFileSync('apt-get', ['download', '-q', name], { cwd: temporary, stdio: 'pipe' });
    const [archive] = readdirSync(temporary);
    execFileSync('dpkg-deb', ['-x', archive!, temporary], { cwd: temporary, stdio: 'pipe' });
    rmSync(path.join(temporary, archive!));
    // busybox loads no compressed modules.
    execFileSync('sh', ['-c', "find lib -name '*.ko.xz' -exec xz -d {} +"], { cwd: temporary, stdio: 'pipe' });
    if (!existsSync(directory)) renameSync(temporary, directory);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}
