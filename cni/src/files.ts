import { makeDirectory } from '@flannel-ts/linux/text-files';
import { codeOf } from './errors.ts';

/** For what only rare paths need (listing directories): loading it takes Bun longer than a whole VERSION. */
export function nodeFs(): typeof import('node:fs') {
  return process.getBuiltinModule('node:fs');
}

/** `mkdir -p`; one that exists keeps its mode. */
export function makeDirectories(path: string, mode: number): void {
  try {
    makeDirectory(path, mode);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'EEXIST') return;
    const slash = path.lastIndexOf('/');
    if (code !== 'ENOENT' || slash <= 0) throw error;
    makeDirectories(path.slice(0, slash), mode);
    makeDirectories(path, mode);
  }
}
