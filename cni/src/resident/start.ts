import type { JsonObject } from '@flannel-ts/flannel/go-json';
import { netConfOf } from '@flannel-ts/flannel/netconf';
import { closeFd, flock, LOCK_EX, LOCK_NB, O_CREAT, O_RDWR, openFile } from '@flannel-ts/linux/files';
import { isPresent, makeDirectory } from '@flannel-ts/linux/text-files';
import { codeOf } from '../errors.ts';
import { booleanField } from '../json.ts';
import { readConfig } from '../protocol.ts';
import { RESIDENT } from './arguments.ts';
import { DIRECTORY, OWN_SUBNET_FILE, residentSocket } from './place.ts';

/** The part of Bun used here. Node runs the plugin only from source. */
interface BunSpawn {
  spawn(options: {
    cmd: readonly string[];
    cwd: string;
    env: Record<string, string>;
    stdio: readonly ('ignore' | number)[];
    detached: boolean;
  }): { unref(): void };
}

/** Where there is no directory, only the plugin of the node's own flanneld makes it. */
function allowed(config: JsonObject): boolean {
  if (booleanField(config, 'resident') === false) return false;
  const { type, subnetFile } = netConfOf({ ...config, prevResult: {} });
  if (type === 'flannel' && subnetFile === OWN_SUBNET_FILE && isPresent(subnetFile)) makeIfAbsent(DIRECTORY);
  return true;
}

function makeIfAbsent(directory: string): void {
  try {
    makeDirectory(directory, 0o700);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
}

/**
 * After a call that no resident process has taken: leaves one behind for the next calls, in the namespaces of this one. It gets the lock
 * by its descriptor, and keeps it as long as it lives. A call never fails for its sake.
 */
export function startResident(stdin: Uint8Array): void {
  const bun = (globalThis as { Bun?: BunSpawn }).Bun;
  if (bun === undefined) return;
  try {
    const path = allowed(readConfig(stdin).config) ? residentSocket() : undefined;
    if (path === undefined) return;
    const lock = openFile(`${path}.lock`, O_RDWR | O_CREAT, 0o600);
    try {
      flock(lock, LOCK_EX | LOCK_NB);
      const stdio = ['ignore', 'ignore', 'ignore', lock] as const;
      bun.spawn({ cmd: [process.execPath, RESIDENT], cwd: '/', env: {}, stdio, detached: true }).unref();
    } finally {
      closeFd(lock);
    }
  } catch {
    // EAGAIN: there is one. Whatever else it is, the next call works without.
  }
}
