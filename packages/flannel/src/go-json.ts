import { parseExactJson } from './exact-json.ts';

/** JSON as Go's encoding/json reads and writes it: flannel's files and keys, and CNI's configurations, were made by it. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}
export interface MutableJsonObject {
  [key: string]: Json;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isJsonArray(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

/** An object without a prototype: `__proto__` from a configuration is then a key like any other. */
export function newJsonObject(from?: JsonObject): MutableJsonObject {
  const copy: MutableJsonObject = Object.create(null);
  if (from !== undefined) for (const key of Object.keys(from)) copy[key] = from[key] as Json;
  return copy;
}

/** Throws what `explain` makes of the reason. */
export function parseJsonObject(text: string, explain: (reason: string) => Error): JsonObject {
  let value: unknown;
  try {
    value = parseExactJson(text);
  } catch (error) {
    throw explain(`not valid JSON (${(error as Error).message})`);
  }
  if (!isJsonObject(value)) throw explain(`no JSON object but ${shorten(value)}`);
  return value;
}

/** What `text` holds if it is a JSON object: for output and files of others, of which nothing can be expected. */
export function readJsonObject(text: string): JsonObject | undefined {
  try {
    return parseJsonObject(text, (reason) => new Error(reason));
  } catch {
    return undefined;
  }
}

/**
 * Letter case is ignored, the last of several spellings wins, `null` leaves the field unset. (Difference from Go: of two keys
 * spelled alike, JSON.parse keeps the place of the first.)
 */
export function field(object: JsonObject, name: string): Json | undefined {
  const wanted = name.toLowerCase();
  let found: Json | undefined;
  for (const key of Object.keys(object)) {
    const value = object[key];
    if (value !== null && (key === name || key.toLowerCase() === wanted)) found = value;
  }
  return found;
}

/** Sets a key and removes other spellings of it. */
export function setField(object: MutableJsonObject, name: string, value: Json): void {
  removeField(object, name);
  object[name] = value;
}

export function removeField(object: MutableJsonObject, name: string): void {
  const wanted = name.toLowerCase();
  for (const key of Object.keys(object)) if (key.toLowerCase() === wanted) delete object[key];
}

/** Go's json.Marshal escapes these for HTML's sake, and no space follows a colon or comma. */
export function goStringify(value: unknown): string {
  return JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** A value as it may stand in a message. */
export function shorten(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** Typed access to the fields of one object. Errors name the key, or the `path` to it. */
export class FieldReader {
  constructor(
    private readonly object: JsonObject,
    private readonly fail: (message: string, path: string) => Error,
  ) {}

  raw(name: string): Json | undefined {
    return field(this.object, name);
  }

  string(name: string, path = name): string | undefined {
    const value = this.raw(name);
    if (value === undefined || typeof value === 'string') return value;
    throw this.wrong(path, value, 'a string');
  }

  boolean(name: string, path = name): boolean | undefined {
    const value = this.raw(name);
    if (value === undefined || typeof value === 'boolean') return value;
    throw this.wrong(path, value, 'true or false, without quotes');
  }

  integer(name: string, path = name): number | undefined {
    const value = this.raw(name);
    if (value === undefined || Number.isSafeInteger(value)) return value as number | undefined;
    throw this.wrong(path, value, 'a whole number, without quotes');
  }

  /** A whole number within the limits. */
  integerWithin(name: string, min: number, max: number): number | undefined {
    const value = this.raw(name);
    if (value === undefined) return undefined;
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
    throw this.wrong(name, value, `a whole number from ${min} to ${max}, without quotes`);
  }

  nested(name: string, path = name): JsonObject | undefined {
    const value = this.raw(name);
    if (value === undefined || isJsonObject(value)) return value;
    throw this.wrong(path, value, 'an object');
  }

  array(name: string, path = name): readonly Json[] | undefined {
    const value = this.raw(name);
    if (value === undefined || isJsonArray(value)) return value;
    throw this.wrong(path, value, 'a list');
  }

  strings(name: string, path = name): readonly string[] | undefined {
    return this.array(name, path)?.map((value, index) => {
      if (typeof value === 'string') return value;
      throw this.wrong(`${path}[${index}]`, value, 'a string');
    });
  }

  objects(name: string, path = name): readonly JsonObject[] | undefined {
    return this.array(name, path)?.map((value, index) => {
      if (isJsonObject(value)) return value;
      throw this.wrong(`${path}[${index}]`, value, 'an object');
    });
  }

  /** A string read by `parse`, whose error is passed on with the key. */
  parsed<T>(name: string, parse: (text: string) => T): T | undefined {
    const text = this.string(name);
    if (text === undefined) return undefined;
    try {
      return parse(text);
    } catch (error) {
      throw this.fail(`${name}: ${(error as Error).message}`, name);
    }
  }

  private wrong(path: string, value: unknown, wanted: string): Error {
    return this.fail(`${path} is ${shorten(value)}: write ${wanted}`, path);
  }
}
