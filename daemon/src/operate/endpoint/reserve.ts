/**
 * Keeps the address of the health endpoint from being given to a pod: a file in each of host-local's stores, as host-local
 * itself would write it (plugins: ipam/host-local/backend/disk). host-local assigns no address for which a file exists.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { HEALTH_ENDPOINT_OWNER } from '@flannel-ts/flannel/defaults';
import { isErrno } from '@flannel-ts/linux/errors';

const CONTENT = `${HEALTH_ENDPOINT_OWNER}\r\neth0`;

/** False when a pod has the address in one of the stores; then nothing was reserved there. */
export function reserveAddress(dataDir: string, address: string): boolean {
  return stores(dataDir).every((store) => reserveIn(path.join(store, address)));
}

/** The files of what was reserved for any address, and nothing of others. */
export function findReservations(dataDir: string): string[] {
  return stores(dataDir).flatMap((store) =>
    list(store)
      .filter((name) => /^[0-9a-f.:]+$/.test(name))
      .map((name) => path.join(store, name))
      .filter((file) => contentOf(file) === CONTENT),
  );
}

function reserveIn(file: string): boolean {
  try {
    writeFileSync(file, CONTENT, { flag: 'wx', mode: 0o600 });
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return true; // no store, or none any more
    if (!isErrno(error, 'EEXIST')) throw error;
    return contentOf(file) === CONTENT;
  }
}

/** One for each CNI network that has had a pod. */
function stores(dataDir: string): string[] {
  return list(dataDir).map((name) => path.join(dataDir, name));
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

function contentOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}
