/** Names in the BPF file system: for each network namespace and device a folder, so that every network of this host has its own. */
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { BpfError } from '@flannel-ts/bpf/errors';
import { linkInfo } from '@flannel-ts/bpf/info';
import { BPFFS, openPinned } from '@flannel-ts/bpf/pin';
import { closeFd } from '@flannel-ts/linux/files';
import { DaemonError, messageOf } from '../../errors.ts';

const ROOT = `${BPFFS}/flannel`;

export const PROGRAM_NAMES = ['send', 'receive', 'merged'] as const;
export type ProgramName = (typeof PROGRAM_NAMES)[number];

export function folderOf(device: string): string {
  return `${ROOT}/${namespaceNumber()}-${device}`;
}

export function linkPath(folder: string, name: ProgramName): string {
  return `${folder}/${name}`;
}

export function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new BpfError('NO_BPFFS', `Cannot make "${folder}" (${messageOf(cause)})`, { cause });
  }
}

/** What is pinned only there is gone with it: maps, and links, which detach their programs. False when there was nothing. */
export function removeFolder(folder: string): boolean {
  const found = list(folder).length > 0;
  try {
    rmSync(folder, { recursive: true, force: true });
  } catch (error) {
    throw new DaemonError('KERNEL', `Cannot remove "${folder}": ${messageOf(error)}`, { cause: error });
  }
  return found;
}

/** Devices of this network namespace that have names, be they there or not. */
export function pinnedDevices(): string[] {
  const prefix = `${namespaceNumber()}-`;
  return list(ROOT)
    .filter((name) => name.startsWith(prefix))
    .map((name) => name.slice(prefix.length));
}

/**
 * Removes the names of network namespaces that have ended: their devices are gone, and links are attached to nothing any more. Without links
 * (before Linux 6.6) nobody can tell. Returns how many there were.
 */
export function removeEnded(): number {
  const own = `${namespaceNumber()}-`;
  const ended = list(ROOT)
    .filter((name) => !name.startsWith(own))
    .map((name) => `${ROOT}/${name}`)
    .filter(hasEnded);
  for (const folder of ended) removeFolder(folder);
  return ended.length;
}

function hasEnded(folder: string): boolean {
  try {
    const links = PROGRAM_NAMES.map((name) => openPinned(linkPath(folder, name))).filter((fd) => fd !== undefined);
    const attached = links.filter((fd) => linkInfo(fd).interfaceIndex !== 0);
    for (const fd of links) closeFd(fd);
    return links.length > 0 && attached.length === 0;
  } catch {
    return false; // another flanneld has just removed it
  }
}

function namespaceNumber(): number {
  return statSync('/proc/thread-self/ns/net').ino;
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
