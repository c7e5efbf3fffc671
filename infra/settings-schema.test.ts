/** Written anew by `UPDATE_DOCS=1 npx jest infra/settings-schema --selectProjects unit`. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { parseSettings, SETTING_KEYS } from './settings.ts';
import { type Declared, type Schema, settingsSchema } from './settings-schema.ts';

const ROOT = join(__dirname, '..');
const FILE = join(ROOT, 'docs/settings.schema.json');
const { config } = parse(readFileSync(join(ROOT, 'Pulumi.yaml'), 'utf8')) as { config: Record<string, Declared> };
const schema = settingsSchema(config);

/** As much of a validator as this schema asks for; a keyword that it does not know is an error. */
function accepts({ $schema: _s, title: _t, description: _d, default: _e, ...rules }: Schema, value: unknown): boolean {
  return Object.entries(rules).every(([keyword, rule]) => {
    switch (keyword) {
      case 'type':
        if (rule === 'integer') return Number.isInteger(value);
        if (rule === 'array') return Array.isArray(value);
        if (rule === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value);
        return typeof value === rule;
      case 'enum':
        return (rule as unknown[]).includes(value);
      case 'minimum':
        return (value as number) >= (rule as number);
      case 'maximum':
        return (value as number) <= (rule as number);
      case 'minLength':
        return (value as string).length >= (rule as number);
      case 'pattern':
        return new RegExp(rule as string).test(value as string);
      case 'items':
        return !Array.isArray(value) || value.every((item) => accepts(rule as Schema, item));
      case 'required':
        return (rule as string[]).every((key) => Object.hasOwn(value as object, key));
      case 'properties':
        return Object.entries(rule as Record<string, Schema>).every(
          ([key, inner]) => !Object.hasOwn(value as object, key) || accepts(inner, (value as Schema)[key]),
        );
      case 'additionalProperties':
        return Object.keys(value as object).every((key) => Object.hasOwn(rules.properties as object, key));
      default:
        throw new Error(`The schema has ${keyword}`);
    }
  });
}

function isParsed(settings: Schema): boolean {
  const all = Object.fromEntries(Object.entries(config).map(([key, { default: value }]) => [key, value]));
  const text = Object.fromEntries(
    Object.entries({ ...all, ...settings }).map(([key, value]) => [
      key,
      typeof value === 'object' ? JSON.stringify(value) : String(value),
    ]),
  );
  try {
    parseSettings('dev', { get: (key) => text[key], keys: Object.keys(settings) });
    return true;
  } catch {
    return false;
  }
}

test('the schema has all settings', () => {
  const { $schema: _, ...properties } = schema.properties as Record<string, Schema>;
  expect(Object.keys(properties).sort()).toEqual([...SETTING_KEYS].sort());
  for (const [key, property] of Object.entries(properties)) {
    expect([key, Object.hasOwn(property, 'type') || Object.hasOwn(property, 'enum')]).toEqual([key, true]);
  }
});

test.each<Schema>([
  { nodes: 5, podsPerNode: 0, backend: { Type: 'vxlan', VNI: 7 }, mtu: 1400 },
  {
    kubernetes: true,
    demo: true,
    proxyMode: 'iptables',
    apiPort: 6443,
    publish: ['8080:30080', '0.0.0.0:53:a/b:53/udp'],
  },
  { environment: 'aws', region: 'eu-central-1', zones: ['eu-central-1a'], nat: 'zone', mtu: 9001 },
])('the schema and the validator accept %j', (settings) => {
  expect([accepts(schema, settings), isParsed(settings)]).toEqual([true, true]);
});

test.each<Schema>([
  { nodez: 5 },
  { nodes: 0 },
  { nodes: 251 },
  { nodes: 'many' },
  { kubernetes: 'perhaps' },
  { kubernetes: true, proxyMode: 'ipvs' },
  { kubernetes: true, apiPort: 70000 },
  { kubernetes: true, publish: ['8080'] },
  { podCidr: 'everything' },
  { backend: { Type: 'carrier-pigeon' } },
  { artifact: '' },
  { environment: 'moon' },
])('the schema and the validator refuse %j', (settings) => {
  expect([accepts(schema, settings), isParsed(settings)]).toEqual([false, false]);
});

test('docs/settings.schema.json is that schema', () => {
  const text = `${JSON.stringify(schema, undefined, 2)}\n`;
  if (process.env.UPDATE_DOCS) writeFileSync(FILE, text);
  else expect(readFileSync(FILE, 'utf8')).toBe(text);
});
