/**
 * JSON schemas of what the CNI specification (SPEC.md of 0.2.0, 0.3.1, 0.4.0, 1.0.0 and 1.1.0, "Result types" and "Error") says of answers,
 * and the little of JSON Schema that they need. Written from the texts, and not from what our own code encodes.
 */
export interface Schema {
  readonly type?: 'object' | 'array' | 'string' | 'integer';
  readonly required?: readonly string[];
  /** Others are not allowed. */
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly pattern?: string;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly minItems?: number;
  /** At least one of these keys. */
  readonly anyRequired?: readonly string[];
}

const text: Schema = { type: 'string' };
const number: Schema = { type: 'integer', minimum: 0 };
const V4 = '\\d{1,3}(\\.\\d{1,3}){3}';
const V6 = '[0-9a-f]*:[0-9a-f:]*(\\d+(\\.\\d+){3})?';
const ip: Schema = { type: 'string', pattern: `^(${V4}|${V6})$` };
const cidr: Schema = { type: 'string', pattern: `^(${V4}|${V6})/\\d{1,3}$` };
const mac: Schema = { type: 'string', pattern: '^[0-9a-f]{2}(:[0-9a-f]{2}){5}$' };
const list = (items: Schema): Schema => ({ type: 'array', items });
const object = (required: readonly string[], properties: Record<string, Schema>): Schema => ({
  type: 'object',
  required,
  properties,
});

const dns = object([], { nameservers: list(ip), domain: text, search: list(text), options: list(text) });
const oldRoute = object(['dst'], { dst: cidr, gw: ip });
const route = object(['dst'], {
  dst: cidr,
  gw: ip,
  mtu: number,
  advmss: number,
  priority: number,
  table: number,
  scope: number,
});
const oldInterface = object(['name'], { name: text, mac, sandbox: text });
const newInterface = object(['name'], { name: text, mac, mtu: number, sandbox: text, socketPath: text, pciID: text });
const oldAddress = object(['version', 'address'], {
  version: { enum: ['4', '6'] },
  interface: number,
  address: cidr,
  gateway: ip,
});
const address = object(['address'], { interface: number, address: cidr, gateway: ip });

function resultOf(version: string): Schema {
  const cniVersion: Schema = { enum: [version] };
  if (version < '0.3.0') {
    const family = object(['ip'], { ip: cidr, gateway: ip, routes: list(oldRoute) });
    return { ...object(['cniVersion'], { cniVersion, ip4: family, ip6: family, dns }), anyRequired: ['ip4', 'ip6'] };
  }
  const isNew = version >= '1.0.0';
  return object(['cniVersion', 'interfaces', 'ips'], {
    cniVersion,
    // From 1.1.0 on with more keys, which Go's library writes for 1.0.0 as well (its types are the same).
    interfaces: { ...list(isNew ? newInterface : oldInterface), minItems: 1 },
    ips: { ...list(isNew ? address : oldAddress), minItems: 1 },
    routes: list(isNew ? route : oldRoute),
    dns,
  });
}

export const VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'];
export const RESULT: Readonly<Record<string, Schema>> = Object.fromEntries(
  VERSIONS.map((version) => [version, resultOf(version)]),
);

export const ERROR = object(['cniVersion', 'code', 'msg'], {
  cniVersion: { enum: VERSIONS },
  code: { type: 'integer', minimum: 1 },
  msg: { type: 'string', pattern: '.' },
  details: text,
});

export const VERSION_INFO = object(['cniVersion', 'supportedVersions'], {
  cniVersion: { enum: VERSIONS },
  supportedVersions: { ...list({ enum: VERSIONS }), minItems: 1 },
});

/** What does not fit, each with its place; empty when all does. */
export function violations(schema: Schema, value: unknown, at = '$'): string[] {
  const found: string[] = [];
  const { type, pattern, minimum, minItems } = schema;
  const kind = Array.isArray(value)
    ? 'array'
    : Number.isInteger(value)
      ? 'integer'
      : value === null
        ? 'null'
        : typeof value;
  if (type !== undefined && kind !== type) return [`${at} is ${kind}, not ${type}`];
  if (schema.enum !== undefined && !schema.enum.includes(value)) found.push(`${at} is ${JSON.stringify(value)}`);
  if (pattern !== undefined && !new RegExp(pattern).test(String(value)))
    found.push(`${at} is ${JSON.stringify(value)}`);
  if (minimum !== undefined && Number(value) < minimum) found.push(`${at} is below ${minimum}`);
  if (Array.isArray(value)) {
    if (minItems !== undefined && value.length < minItems) found.push(`${at} has ${value.length} entries`);
    if (schema.items !== undefined) {
      for (const [i, entry] of value.entries()) found.push(...violations(schema.items, entry, `${at}[${i}]`));
    }
  } else if (kind === 'object') found.push(...objectViolations(schema, value as Record<string, unknown>, at));
  return found;
}

function objectViolations(schema: Schema, value: Record<string, unknown>, at: string): string[] {
  const found = (schema.required ?? []).filter((key) => !(key in value)).map((key) => `${at}.${key} is missing`);
  if (schema.anyRequired !== undefined && !schema.anyRequired.some((key) => key in value)) {
    found.push(`${at} has none of ${schema.anyRequired.join(', ')}`);
  }
  const { properties } = schema;
  if (properties === undefined) return found;
  for (const [key, entry] of Object.entries(value)) {
    const known = properties[key];
    if (known === undefined) found.push(`${at}.${key} is not in the specification`);
    else found.push(...violations(known, entry, `${at}.${key}`));
  }
  return found;
}
