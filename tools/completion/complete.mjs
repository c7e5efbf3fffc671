// `node complete.mjs LINE`: what may come next on a command line that begins with "npm run", a line for each.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { completeLine } from './words.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const STATE = '/var/lib/flannel-local';

/** @param {string} directory */
function list(directory) {
  return existsSync(directory) ? readdirSync(directory) : [];
}

const found = {
  stacks: () => list(join(ROOT, 'stacks')).flatMap((name) => /^Pulumi\.(.+)\.yaml$/.exec(name)?.[1] ?? []),
  /** @param {string} stack */
  machines: (stack) => list(join(STATE, stack, 'nodes')),
  settings: () => {
    const schema = JSON.parse(readFileSync(join(ROOT, 'docs/settings.schema.json'), 'utf8'));
    return Object.keys(schema.properties).filter((key) => key !== '$schema');
  },
};
for (const word of completeLine(argv[2] ?? '', found)) process.stdout.write(`${word}\n`);
