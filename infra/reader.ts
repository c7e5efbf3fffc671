/** Reads configuration key by key, and reports all that is wrong with it at once. */
import { type Prefix, parsePrefixStrict } from '@flannel-ts/inet/prefix';
import { InfraError } from './errors.ts';

export interface Problem {
  readonly message: string;
  /** The setting that is wrong; absent if several are wrong together. */
  readonly key?: string;
}

/** Its message has one line for each problem. */
export class SettingsError extends InfraError {
  constructor(readonly problems: readonly Problem[]) {
    super('INVALID_CONFIG', problems.map(({ message }) => message).join('\n'));
  }
}

/** Gives the text of a configuration key, or undefined; objects come as JSON. `pulumi.Config.get` is one. */
export type Lookup = (key: string) => string | undefined;

/** The values after `done()` has not thrown. */
export type Complete<T> = { readonly [K in keyof T]: Exclude<T[K], undefined> };

/** Each method gives undefined where it has found a problem; a key with a fallback need not be set. */
export class Reader {
  private readonly problems: Problem[] = [];

  constructor(private readonly lookup: Lookup) {}

  integer(key: string, min: number, max: number, fallback?: number): number | undefined {
    const parse = (text: string) => {
      const value = Number(text);
      return /^-?\d+$/.test(text) && value >= min && value <= max ? value : undefined;
    };
    return this.value(key, `a whole number from ${min} to ${max}`, parse, fallback);
  }

  choice<T extends string>(key: string, choices: readonly T[], fallback?: T): T | undefined {
    const expected = `one of ${choices.join(', ')}`;
    return this.value(key, expected, (text) => choices.find((choice) => choice === text), fallback);
  }

  boolean(key: string, fallback?: boolean): boolean | undefined {
    return this.value(key, 'true or false', (text) => ({ true: true, false: false })[text], fallback);
  }

  /** `expected` completes "set ...". */
  matching(key: string, pattern: RegExp, expected: string, fallback?: string): string | undefined {
    return this.value(key, expected, (text) => (pattern.test(text) ? text : undefined), fallback);
  }

  strings(key: string, expected: string): readonly string[] | undefined {
    return this.value(key, expected, (text) => {
      const value: unknown = JSON.parse(text);
      return Array.isArray(value) && value.every((each) => typeof each === 'string') ? value : undefined;
    });
  }

  /** Whether the key is set at all. */
  has(key: string): boolean {
    return this.lookup(key) !== undefined;
  }

  prefix(key: string): Prefix<4> | undefined {
    const text = this.text(key, 'an IPv4 range like 10.64.0.0/19');
    return text === undefined ? undefined : this.attempt(() => parsePrefixStrict(text, 4), key);
  }

  directory(key: string, fallback?: string): string | undefined {
    return this.value(key, 'a directory like dist', (text) => (text === '' ? undefined : text), fallback);
  }

  object(key: string): object | undefined {
    return this.value(key, 'an object like {"Type":"udp"}', (text) => {
      const value: unknown = JSON.parse(text);
      return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
    });
  }

  problem(message: string, key?: string): void {
    this.problems.push({ message, ...(key !== undefined && { key }) });
  }

  /** What `make` gives; its error becomes a problem. */
  attempt<T>(make: () => T, key?: string): T | undefined {
    try {
      return make();
    } catch (error) {
      const message = (error as Error).message;
      this.problem(key === undefined ? message : `${key}: ${message}`, key);
      return undefined;
    }
  }

  /** Throws if there was a problem. */
  done(): void {
    if (this.problems.length === 0) return;
    throw new SettingsError(this.problems);
  }

  private value<T>(key: string, expected: string, parse: (text: string) => T | undefined, fallback?: T): T | undefined {
    if (fallback !== undefined && !this.has(key)) return fallback;
    const text = this.text(key, expected);
    if (text === undefined) return undefined;
    const value = parseOrUndefined(parse, text);
    if (value === undefined) this.problem(`${key} is ${JSON.stringify(text)}: set ${expected}`, key);
    return value;
  }

  private text(key: string, expected: string): string | undefined {
    const text = this.lookup(key);
    if (text === undefined) this.problem(`${key} is not set: set ${expected}`, key);
    return text;
  }
}

function parseOrUndefined<T>(parse: (text: string) => T | undefined, text: string): T | undefined {
  try {
    return parse(text);
  } catch {
    return undefined;
  }
}
