/** The JSON schema of a stack's settings: what the validator itself asks for, so that both are one. */
import { BACKEND_KEYS } from '@flannel-ts/flannel/backend-config';
import { PUBLICATION_PATTERN } from './local/publications.ts';
import { Reader } from './reader.ts';
import { parseSettings } from './settings.ts';

export type Schema = Readonly<Record<string, unknown>>;

/** Settings that have all keys of each environment asked for. */
const ASKING: readonly Readonly<Record<string, string>>[] = [
  { kubernetes: 'true' },
  { environment: 'aws', region: 'eu-central-1', mtu: '9001', zones: '["eu-central-1a"]' },
];
const PREFIX = '^(\\d{1,3}\\.){3}\\d{1,3}/\\d{1,2}$';
const IMAGE = '^ami-[0-9a-f]+$';

/** Keys that are optional are asked for by has() alone. */
const MORE: Readonly<Record<string, Schema>> = {
  publish: { type: 'array', items: { type: 'string', pattern: PUBLICATION_PATTERN } },
  backend: {
    type: 'object',
    required: ['Type'],
    properties: { Type: { enum: Object.keys(BACKEND_KEYS).filter((type) => type !== 'alloc') } },
  },
  imageId: { type: 'string', pattern: IMAGE },
  etcdImageId: { type: 'string', pattern: IMAGE },
  permissionsBoundary: { type: 'string', pattern: '^arn:' },
};

class SchemaReader extends Reader {
  readonly properties: Record<string, Schema> = {};

  override integer(key: string, minimum: number, maximum: number, fallback?: number) {
    this.note(key, { type: 'integer', minimum, maximum }, fallback);
    return super.integer(key, minimum, maximum, fallback);
  }

  override choice<T extends string>(key: string, choices: readonly T[], fallback?: T) {
    this.note(key, { enum: choices }, fallback);
    return super.choice(key, choices, fallback);
  }

  override boolean(key: string, fallback?: boolean) {
    this.note(key, { type: 'boolean' }, fallback);
    return super.boolean(key, fallback);
  }

  override matching(key: string, pattern: RegExp, expected: string, fallback?: string) {
    this.note(key, { type: 'string', pattern: pattern.source }, fallback);
    return super.matching(key, pattern, expected, fallback);
  }

  override strings(key: string, expected: string) {
    this.note(key, { type: 'array', items: { type: 'string' } });
    return super.strings(key, expected);
  }

  override prefix(key: string) {
    this.note(key, { type: 'string', pattern: PREFIX });
    return super.prefix(key);
  }

  override directory(key: string, fallback?: string) {
    this.note(key, { type: 'string', minLength: 1 }, fallback);
    return super.directory(key, fallback);
  }

  override object(key: string) {
    this.note(key, { type: 'object' });
    return super.object(key);
  }

  override has(key: string) {
    this.note(key, {});
    return super.has(key);
  }

  private note(key: string, schema: Schema, fallback?: unknown): void {
    this.properties[key] = {
      ...this.properties[key],
      ...schema,
      ...(fallback !== undefined && { default: fallback }),
      ...MORE[key],
    };
  }
}

/** What the project says of a key. */
export interface Declared {
  readonly description?: string;
  readonly default?: unknown;
}

export function settingsSchema(project: Readonly<Record<string, Declared>>): Schema {
  const defaults = Object.entries(project).map(([key, { default: value }]) => [
    key,
    typeof value === 'object' ? JSON.stringify(value) : String(value),
  ]);
  const properties: Record<string, Schema> = {};
  for (const asking of ASKING) {
    const values: Readonly<Record<string, string>> = { ...Object.fromEntries(defaults), ...asking };
    const get = (key: string) => values[key];
    const read = new SchemaReader(get);
    parseSettings('schema', { get, keys: [] }, read);
    Object.assign(properties, read.properties);
  }
  for (const [key, { description, default: value }] of Object.entries(project)) {
    properties[key] = { description, ...properties[key], default: value };
  }
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Settings of a stack',
    description: 'For "npm run up -- --file FILE". What is not named stays as it is.',
    type: 'object',
    properties: { $schema: { type: 'string' }, ...Object.fromEntries(Object.entries(properties).sort()) },
    additionalProperties: false,
  };
}
