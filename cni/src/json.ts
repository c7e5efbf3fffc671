import { CniError, ErrorCode } from './errors.ts';

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}
export interface MutableJsonObject {
  [key: string]: Json;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isArray(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

/** An object without a prototype: `__proto__` from a configuration is then a key like any other. */
export function newObject(from?: JsonObject): MutableJsonObject {
  const copy: MutableJsonObject = Object.create(null);
  if (from !== undefined) for (const key of Object.keys(from)) copy[key] = from[key] as Json;
  return copy;
}

/**
 * The value of a key read the way Go's encoding/json does it: case is ignored, the last occurrence wins, `null` leaves
 * the field as it was. (Difference: of two keys spelled alike, JSON.parse keeps the place of the first.)
 */
export function field(object: JsonObject, name: string): Json | undefined {
  let found: Json | undefined;
  const wanted = name.toLowerCase();
  for (const key of Object.keys(object)) {
    if (key.length !== name.length) continue;
    if (key !== name && key.toLowerCase() !== wanted) continue;
    const value = object[key];
    if (value !== null && value !== undefined) found = value;
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

function wrongType(path: string, value: Json, wanted: string): CniError {
  const shown = JSON.stringify(value);
  const text = shown.length > 80 ? `${shown.slice(0, 77)}...` : shown;
  return new CniError(
    ErrorCode.decodeFailure,
    `error unmarshall network config: ${path} must be ${wanted}, not ${text}`,
  );
}

export function stringField(object: JsonObject, name: string, path = name): string | undefined {
  const value = field(object, name);
  if (value === undefined || typeof value === 'string') return value;
  throw wrongType(path, value, 'a string');
}

export function booleanField(object: JsonObject, name: string, path = name): boolean | undefined {
  const value = field(object, name);
  if (value === undefined || typeof value === 'boolean') return value;
  throw wrongType(path, value, 'true or false');
}

export function integerField(object: JsonObject, name: string, path = name): number | undefined {
  const value = field(object, name);
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
  throw wrongType(path, value, 'an integer');
}

export function objectField(object: JsonObject, name: string, path = name): JsonObject | undefined {
  const value = field(object, name);
  if (value === undefined || isObject(value)) return value;
  throw wrongType(path, value, 'an object');
}

export function arrayField(object: JsonObject, name: string, path = name): readonly Json[] | undefined {
  const value = field(object, name);
  if (value === undefined || isArray(value)) return value;
  throw wrongType(path, value, 'a list');
}

export function stringsField(object: JsonObject, name: string, path = name): readonly string[] | undefined {
  return arrayField(object, name, path)?.map((value, index) => {
    if (typeof value === 'string') return value;
    throw wrongType(`${path}[${index}]`, value, 'a string');
  });
}

export function objectsField(object: JsonObject, name: string, path = name): readonly JsonObject[] | undefined {
  return arrayField(object, name, path)?.map((value, index) => {
    if (isObject(value)) return value;
    throw wrongType(`${path}[${index}]`, value, 'an object');
  });
}

/** What `text` holds if it is a JSON object: for output and files of others, of which nothing can be demanded. */
export function objectOrNothing(text: string): JsonObject | undefined {
  try {
    const value = JSON.parse(text) as Json;
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
