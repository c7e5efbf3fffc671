/** The settings of a committed stack, as Pulumi hands them over. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CloudSettings, parseSettings } from '../../settings.ts';

const ROOT = join(__dirname, '../../..');

export const COMMITTED = ['dev', 'ci', 'prod'] as const;
export type Committed = (typeof COMMITTED)[number];

export function readStackFile(stack: Committed): string {
  return readFileSync(join(ROOT, 'stacks', `Pulumi.${stack}.yaml`), 'utf8');
}

/** Of the little YAML that these files are: scalars, and lists of scalars. */
export function parseStackFile(text: string): Record<string, string> {
  const entries = [...text.matchAll(/^ {2}([\w:-]+):(?: (.+)|((?:\n {4}- .+)+))$/gm)];
  return Object.fromEntries(
    entries.map(([, key, value, list]) => {
      const items = list?.trim().split(/\s*- /).filter(Boolean);
      return [key!, items === undefined ? value!.replace(/^"(.*)"$/, '$1') : JSON.stringify(items)];
    }),
  );
}

/** What Pulumi.yaml gives where a stack says nothing. */
function projectDefaults(): Record<string, string> {
  const project = readFileSync(join(ROOT, 'Pulumi.yaml'), 'utf8');
  const scalars = [...project.matchAll(/^ {2}(\w+):\n(?: {4}.*\n)*? {4}default: (.+)$/gm)];
  return { ...Object.fromEntries(scalars.map(([, key, value]) => [key, value])), backend: '{"Type":"udp"}' };
}

export function committedSettings(stack: Committed, changes: Record<string, string> = {}): CloudSettings {
  const own = Object.entries(parseStackFile(readStackFile(stack)));
  const values: Record<string, string> = {
    ...projectDefaults(),
    ...Object.fromEntries(
      own.flatMap(([key, value]) => (key.startsWith('flannel:') ? [[key.slice('flannel:'.length), value]] : [])),
    ),
    ...changes,
  };
  return parseSettings(stack, { get: (key) => values[key], keys: Object.keys(values) }) as CloudSettings;
}
