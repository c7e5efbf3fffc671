/** JSON as Go's encoding/json reads and writes it: flannel's files and keys were made by it. */
export type JsonObject = Readonly<Record<string, unknown>>;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Throws what `explain` makes of the reason. */
export function parseJsonObject(text: string, explain: (reason: string) => Error): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw explain(`not valid JSON (${(error as Error).message})`);
  }
  if (!isJsonObject(value)) throw explain(`no JSON object but ${shorten(value)}`);
  return value;
}

/** Letter case is ignored, the last of several spellings wins, `null` leaves the field unset. */
export function field(object: JsonObject, name: string): unknown {
  const wanted = name.toLowerCase();
  let found: unknown;
  for (const [key, value] of Object.entries(object)) {
    if (value !== null && (key === name || key.toLowerCase() === wanted)) found = value;
  }
  return found;
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

/** Typed access to the fields of one object, with errors that name the key. */
export class FieldReader {
  constructor(
    private readonly object: JsonObject,
    private readonly fail: (message: string) => Error,
  ) {}

  raw(name: string): unknown {
    return field(this.object, name);
  }

  string(name: string): string | undefined {
    const value = this.raw(name);
    if (value === undefined || typeof value === 'string') return value;
    throw this.fail(`${name} is ${shorten(value)}: write a string`);
  }

  boolean(name: string, fallback: boolean): boolean {
    const value = this.raw(name) ?? fallback;
    if (typeof value === 'boolean') return value;
    throw this.fail(`${name} is ${shorten(value)}: write true or false, without quotes`);
  }

  /** A whole number within the limits. */
  integer(name: string, min: number, max: number): number | undefined {
    const value = this.raw(name);
    if (value === undefined) return undefined;
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
    throw this.fail(`${name} is ${shorten(value)}: write a whole number from ${min} to ${max}, without quotes`);
  }

  nested(name: string): JsonObject | undefined {
    const value = this.raw(name);
    if (value === undefined || isJsonObject(value)) return value;
    throw this.fail(`${name} is ${shorten(value)}: write an object`);
  }

  /** A string read by `parse`, whose error is told with the key. */
  parsed<T>(name: string, parse: (text: string) => T): T | undefined {
    const text = this.string(name);
    if (text === undefined) return undefined;
    try {
      return parse(text);
    } catch (error) {
      throw this.fail(`${name}: ${(error as Error).message}`);
    }
  }
}
