/**
 * Property values as the Pulumi CLI and a provider exchange them: JSON in which objects with a signature stand for secrets,
 * files and references, and some strings for what is not known yet (pulumi sdk/go/common/resource/plugin/rpc.go).
 */
import {
  specialArchiveSig,
  specialAssetSig,
  specialOutputValueSig,
  specialResourceSig,
  specialSecretSig,
  specialSigKey,
  unknownValue,
} from '@pulumi/pulumi/runtime/rpc';
import structs from 'google-protobuf/google/protobuf/struct_pb.js';

/** What a resource that does not exist yet will say. */
export class Unknown {}
export const UNKNOWN = new Unknown();

export class Secret {
  constructor(readonly value: Value) {}
}

/** An asset or an archive; `hash` is what the CLI has computed of its contents. */
export class FileValue {
  constructor(readonly raw: Readonly<Record<string, unknown>>) {}

  get hash(): string {
    return String(this.raw.hash);
  }
}

export type Value = null | boolean | number | string | Unknown | Secret | FileValue | readonly Value[] | Bag;
export interface Bag {
  readonly [key: string]: Value;
}

/** The CLI marks unknown numbers, lists and so on by strings of their own (sdk/go/common/resource/plugin/rpc.go). */
const UNKNOWNS: ReadonlySet<unknown> = new Set([
  unknownValue,
  '1c4a061d-8072-4f0a-a4cb-0ff528b18fe7',
  '3eeb2bf0-c639-47a8-9e75-3b44932eb421',
  '6a19a0b0-7e62-4c92-b797-7f8e31da9cc2',
  '030794c1-ac77-496b-92df-f27374a8bd58',
  'e48ece36-62e2-4504-bad9-02848725956a',
  'dd056dcd-154b-4c76-9bd3-c8f88648b5ff',
]);

export function fromStruct(struct: structs.Struct | undefined): Bag {
  return struct === undefined ? {} : (parse(struct.toJavaScript()) as Bag);
}

export function toStruct(bag: Bag): structs.Struct {
  return structs.Struct.fromJavaScript(format(bag) as Record<string, structs.JavaScriptValue>);
}

function parse(raw: unknown): Value {
  if (UNKNOWNS.has(raw)) return UNKNOWN;
  if (Array.isArray(raw)) return raw.map(parse);
  if (typeof raw !== 'object' || raw === null) return raw as Value;
  const object = raw as Record<string, unknown>;
  switch (object[specialSigKey]) {
    case undefined:
      return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, parse(value)]));
    case specialSecretSig:
      return new Secret(parse(object.value));
    case specialAssetSig:
    case specialArchiveSig:
      return new FileValue(object);
    case specialResourceSig:
      return parse(object.id ?? object.urn);
    case specialOutputValueSig: {
      const value = 'value' in object ? parse(object.value) : UNKNOWN;
      return object.secret === true ? new Secret(value) : value;
    }
    default:
      throw new Error(`A value has the signature ${String(object[specialSigKey])}, which is not known here`);
  }
}

function format(value: Value): unknown {
  if (value instanceof Unknown) return unknownValue;
  if (value instanceof Secret) return { [specialSigKey]: specialSecretSig, value: format(value.value) };
  if (value instanceof FileValue) return value.raw;
  if (Array.isArray(value)) return value.map(format);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, each]) => each !== undefined)
      .map(([key, each]) => [key, format(each)]),
  );
}

/** Without the marks of secrets: what AWS is told. */
export function plain<T extends Value>(value: T): T {
  return strip(value) as T;
}

function strip(value: Value): Value {
  if (value instanceof Secret) return strip(value.value);
  if (Array.isArray(value)) return value.map(strip);
  if (!isBag(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, strip(each)]));
}

export function isBag(value: Value | undefined): value is Bag {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return !(value instanceof Unknown || value instanceof Secret || value instanceof FileValue);
}

/** With "[secret]" and "[unknown]" in their places: for people and for JSON. */
export function redacted(value: Value): unknown {
  if (value instanceof Secret) return '[secret]';
  if (value instanceof Unknown) return '[unknown]';
  if (value instanceof FileValue) return { file: value.raw.path ?? null, hash: value.hash };
  if (Array.isArray(value)) return value.map(redacted);
  if (!isBag(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, redacted(each)]));
}

export function sameValue(a: Value | undefined, b: Value | undefined): boolean {
  if (a instanceof Unknown || b instanceof Unknown) return false;
  if (a instanceof FileValue && b instanceof FileValue) return a.hash === b.hash;
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((each, i) => sameValue(each, b[i]));
  }
  if (isBag(a) && isBag(b)) {
    const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
    return [...keys].every((key) => sameValue(a[key], b[key]));
  }
  return (a ?? null) === (b ?? null);
}

/** The string at a key; undefined if it is absent or not known yet. */
export function text(bag: Bag, key: string): string | undefined {
  const value = bag[key];
  return typeof value === 'string' ? value : undefined;
}

/** The objects of a list; an empty list if it is absent or not known yet. */
export function bags(value: Value | undefined): readonly Bag[] {
  if (isBag(value)) return [value];
  return Array.isArray(value) ? value.filter(isBag) : [];
}

/** The strings of a list, or the one string; an empty list if it is absent or not known yet. */
export function texts(value: Value | undefined): readonly string[] {
  if (typeof value === 'string') return [value];
  return Array.isArray(value) ? value.filter((each): each is string => typeof each === 'string') : [];
}
