/** The service's log: appended to by the service itself, so that it goes on when the supervisor dies. */
import { copyFileSync, mkdirSync, openSync, renameSync, statSync, truncateSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Descriptor } from './descriptor.ts';

/** For a child's stdout and stderr. Appending, because a truncated file would otherwise be filled up with zeros. */
export function openLog(log: Descriptor['log']): number {
  mkdirSync(dirname(log.path), { recursive: true });
  return openSync(log.path, 'a', 0o640);
}

/**
 * Rotates a log that has grown too large by copying and truncating it (logrotate's copytruncate): the service holds the
 * file open. A line written between the two steps is lost.
 */
export function rotateLog({ path, maxBytes, keep }: Descriptor['log']): boolean {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size <= maxBytes) return false;
  for (let i = keep - 1; i >= 1; i--) {
    if (statSync(`${path}.${i}`, { throwIfNoEntry: false })) renameSync(`${path}.${i}`, `${path}.${i + 1}`);
  }
  copyFileSync(path, `${path}.1`);
  truncateSync(path);
  return true;
}
