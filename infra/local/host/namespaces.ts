/** The namespaces of a stack. */
import { readdirSync } from 'node:fs';
import { isErrno } from '@flannel-ts/linux/errors';
import { createNetns, deleteNetns, netnsExists } from '@flannel-ts/linux/netns';
import { withNetlink } from '@flannel-ts/rtnetlink/connection';
import { getLink, setLink } from '@flannel-ts/rtnetlink/link';
import { NETNS_ROOT, parseNetnsName } from '../names.ts';
import { endProcesses, processesIn } from './processes.ts';

/** `ip netns add NAME; ip -n NAME link set lo up` */
export function ensureNetns(path: string): void {
  if (!netnsExists(path)) createNetns(path);
  withNetlink({ netns: path }, (nl) => {
    const lo = getLink(nl, 'lo');
    if (lo && !lo.up) setLink(nl, lo.index, { up: true });
  });
}

/** Ends whatever still runs in it, as the end of a machine would, and removes it. */
export async function removeNetns(path: string): Promise<void> {
  if (netnsExists(path)) await endProcesses(processesIn(path), 2_000);
  deleteNetns(path);
}

/** The parts of the stack that have a namespace: `vpc`, `node-0`, ... */
export function listParts(stack: string): string[] {
  return readdirOrNone(NETNS_ROOT)
    .map(parseNetnsName)
    .filter((name) => name?.stack === stack)
    .map((name) => name!.part)
    .sort();
}

function readdirOrNone(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}
