/** A stack's settings in a file of one's own: docs/settings.schema.json describes it to editors. */
import { readFileSync } from 'node:fs';
import { isMap, parseDocument } from 'yaml';
import { UsageError } from '../../setup/errors.mjs';

/** As `--config` would set them. Whether they are right is judged together with all others. */
export function readSettingsFile(path: string): Readonly<Record<string, string>> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`--file ${path} cannot be read: ${(error as Error).message.replace(/^\w+: |, \w+ '.*/g, '')}`);
  }
  return parseSettingsFile(path, text);
}

/** Pure. */
export function parseSettingsFile(path: string, text: string): Readonly<Record<string, string>> {
  const document = parseDocument(text);
  const [error] = document.errors;
  if (error !== undefined) throw new UsageError(`--file ${path} is no YAML: ${error.message.split('\n')[0]}`);
  if (document.contents !== null && !isMap(document.contents)) {
    throw new UsageError(`--file ${path} holds no settings: write them like "nodes: 3"`);
  }
  const { $schema: _, ...settings } = (document.toJS() ?? {}) as Readonly<Record<string, unknown>>;
  const values = Object.entries(settings).map(([key, value]): [string, string] => {
    if (value === null) throw new UsageError(`--file ${path}: ${key} has no value`);
    return [key, typeof value === 'object' ? JSON.stringify(value) : String(value)];
  });
  const set = Object.fromEntries(values);
  // kubelet makes the pods, as with --kubernetes.
  return set.kubernetes === 'true' && set.podsPerNode === undefined ? { ...set, podsPerNode: '0' } : set;
}
