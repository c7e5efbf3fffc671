/** The scripts of cloud machines: files of their own here, so that a shell and its checkers can read them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BootFile } from '../../node/files.ts';

/** Where they are on the machine. */
export const LIBRARY = '/usr/local/lib/flannel';

export type ScriptName =
  | 'cloud'
  | 'parameter'
  | 'node-prepare'
  | 'node-bootstrap'
  | 'node-source-check'
  | 'node-lifecycle';

export function script(name: ScriptName, path = `${LIBRARY}/${name}`): BootFile {
  const text = readFileSync(join(__dirname, `${name}.sh`), 'utf8');
  // EC2 takes 16 KB of user-data: comments stay here.
  return { path, mode: '0755', content: text.replaceAll(/^ *#(?!!).*\n/gm, '') };
}
