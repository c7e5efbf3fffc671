import { copyFileSync, linkSync } from 'node:fs';

/** For what is large and never written to: a link where the file system allows it. */
export function linkOrCopy(source: string, target: string): void {
  try {
    linkSync(source, target);
  } catch {
    copyFileSync(source, target); // on another file system
  }
}
