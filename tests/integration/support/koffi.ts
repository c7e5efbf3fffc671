import { cpSync } from 'node:fs';
import { join } from 'node:path';

const MODULES = join(__dirname, '../../../node_modules');

/** A program on Node ships koffi beside itself; one compiled by Bun needs none. */
export function copyKoffi(directory: string): void {
  for (const name of ['koffi', '@koromix']) {
    cpSync(join(MODULES, name), join(directory, 'node_modules', name), { recursive: true });
  }
}
