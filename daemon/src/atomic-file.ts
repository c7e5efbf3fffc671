import { closeSync, fchmodSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';

export interface AtomicWrite {
  /** Whatever the umask. */
  readonly mode: number;
  /** Beside the file: renaming works within one file system. */
  readonly temporary: string;
}

/** Nobody ever reads half a file, not even after a power cut: it is written beside, and renamed once it is on disk. */
export function writeFileAtomically(file: string, text: string, { mode, temporary }: AtomicWrite): void {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o755 });
  try {
    const fd = openSync(temporary, 'w', mode);
    try {
      fchmodSync(fd, mode);
      writeSync(fd, text);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
