/** An archive of images, kept with the stack: its machines import it wherever it was made. */
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { stackDirectory } from '../names.ts';
import { pruneEmpty } from './files.ts';
import { linkOrCopy } from './link-or-copy.ts';
import { ABSENT, handler } from './resource.ts';

export interface StoredImageInputs {
  readonly stack: string;
  /** Of the archive. */
  readonly sha256: string;
  /** File; relative to the program, for checkouts differ. */
  readonly source: string;
}

export interface StoredImageOutputs {
  readonly file: string;
}

function imagePath(stack: string, sha256: string): string {
  return `${stackDirectory(stack)}/images/${sha256.slice(0, 16)}.tar`;
}

export const storedImage = handler<StoredImageInputs, StoredImageOutputs>({
  id: ({ stack, sha256 }) => `${stack}/image/${sha256}`,
  identity: ['stack', 'sha256'],
  ignored: ['source'],
  async ensure({ stack, sha256, source }) {
    const file = imagePath(stack, sha256);
    if (!existsSync(file)) store(resolve(source), file);
    return { file };
  },
  async observe({ stack, sha256 }) {
    return existsSync(imagePath(stack, sha256)) ? { present: true } : ABSENT;
  },
  async remove({ stack, sha256 }) {
    const file = imagePath(stack, sha256);
    rmSync(file, { force: true });
    pruneEmpty(dirname(file));
  },
});

function store(source: string, file: string): void {
  const work = `${file}.${process.pid}`;
  mkdirSync(dirname(file), { recursive: true });
  linkOrCopy(source, work);
  renameSync(work, file);
}
