/** Names of programs, maps and links in a BPF file system: what has one outlives the process that made it. */
import { existsSync, mkdirSync, rmSync, statfsSync } from 'node:fs';
import { isErrno } from '@flannel-ts/linux/errors';
import type { Fd } from '@flannel-ts/linux/files';
import { cString } from '@flannel-ts/linux/memory';
import { mountFileSystem } from '@flannel-ts/linux/mount';
import { Attribute, bpf, failed, tryBpf } from './call.ts';
import { BpfError } from './errors.ts';

const BPF_FS_MAGIC = 0xcafe4a11; // linux/magic.h
/** Where every distribution with systemd has it. */
export const BPFFS = '/sys/fs/bpf';

export function isBpffs(path: string): boolean {
  try {
    // Node reads the type as a signed number where it is one.
    return statfsSync(path).type >>> 0 === BPF_FS_MAGIC;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}

/** `mount -t bpf bpf PATH`, unless it is one already. */
export function ensureBpffs(path = BPFFS): void {
  if (isBpffs(path)) return;
  if (!existsSync(path)) {
    try {
      mkdirSync(path, { recursive: true });
    } catch (cause) {
      throw new BpfError('NO_BPFFS', `There is no ${path}, and it cannot be made`, { cause });
    }
  }
  try {
    mountFileSystem('bpf', path);
  } catch (cause) {
    throw new BpfError('NO_BPFFS', `No BPF file system is mounted on ${path}, and it cannot be mounted`, { cause });
  }
}

/** `bpftool prog pin`. Of what already has the name it is an error (EEXIST). */
export function pin({ fd }: { readonly fd: Fd }, path: string): void {
  const attribute = new Attribute().pointer(0, cString(path)).u32(8, fd);
  const result = tryBpf('OBJ_PIN', attribute);
  if (result >= 0) return;
  const error = failed('OBJ_PIN', -result, `pin at "${path}"`);
  const isOther = isErrno(error.cause, 'EINVAL', 'EPERM') && !isBpffs(path.slice(0, path.lastIndexOf('/')));
  throw isOther
    ? new BpfError('NO_BPFFS', `${error.message}: not in a BPF file system`, { cause: error.cause })
    : error;
}

/** A descriptor of what is pinned there, the caller's; undefined when there is nothing. */
export function openPinned(path: string): Fd | undefined {
  const attribute = new Attribute().pointer(0, cString(path));
  const result = tryBpf('OBJ_GET', attribute);
  if (result >= 0) return result;
  const error = failed('OBJ_GET', -result, `open "${path}"`);
  if (isErrno(error.cause, 'ENOENT', 'ENOTDIR')) return undefined;
  throw error;
}

/** What has no other name and no descriptor is gone with it. Not being there is no error. */
export function unpin(path: string): void {
  rmSync(path, { force: true });
}

/** Descriptors of maps, programs and links by their numbers: needs CAP_SYS_ADMIN. */
export function openById(kind: 'map' | 'program' | 'link', id: number): Fd {
  const command = ({ map: 'MAP_GET_FD_BY_ID', program: 'PROG_GET_FD_BY_ID', link: 'LINK_GET_FD_BY_ID' } as const)[kind];
  return bpf(command, new Attribute().u32(0, id), `open ${kind} ${id}`);
}
