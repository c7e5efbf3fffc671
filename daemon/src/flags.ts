/**
 * Go's `flag` syntax, which flannel's unit files and manifests are written in: `-name value`, `-name=value`, one or two
 * dashes, booleans without a value. Knows nothing of flannel; options.ts holds the table of flags.
 */
import { DaemonError } from './errors.ts';

export type FlagKind = 'string' | 'boolean' | 'integer' | 'list';

/** What its values are, for completion: paths, names of interfaces, or these words. */
export type ValueHint = 'file' | 'directory' | 'interface' | readonly string[];

export interface FlagSpec {
  readonly kind: FlagKind;
  readonly fallback: string;
  readonly help: string;
  readonly hint?: ValueHint;
  /** Its value is shown nowhere. */
  readonly secret?: true;
}

export type FlagTable = Readonly<Record<string, FlagSpec>>;

export interface ParsedFlags {
  /** Every value given, in order; a repeated flag that is no list counts by its last one. */
  readonly given: ReadonlyMap<string, readonly string[]>;
  readonly positional: readonly string[];
}

const BOOLEANS: Readonly<Record<string, boolean>> = {
  '1': true,
  t: true,
  T: true,
  true: true,
  TRUE: true,
  True: true,
  '0': false,
  f: false,
  F: false,
  false: false,
  FALSE: false,
  False: false,
}; // strconv.ParseBool

export function parseFlags(table: FlagTable, argv: readonly string[]): ParsedFlags {
  const given = new Map<string, string[]>();
  const positional: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    if (word === '--') return { given, positional: [...positional, ...argv.slice(i + 1)] };
    const flag = /^--?([^-=][^=]*)(?:=([\s\S]*))?$/.exec(word);
    if (flag === null) {
      if (word.startsWith('-') && word !== '-') throw usage(`Bad flag syntax: ${word}`);
      positional.push(word);
      continue;
    }
    const name = flag[1]!;
    const spec = Object.hasOwn(table, name) ? table[name] : undefined;
    if (spec === undefined) throw usage(`Unknown flag -${name}: run flanneld --help for the list`);
    let value = flag[2];
    if (value === undefined) value = spec.kind === 'boolean' ? 'true' : argv[++i];
    if (value === undefined) throw usage(`Flag -${name} needs a value`);
    checkValue(name, spec, value);
    given.set(name, [...(given.get(name) ?? []), value]);
  }
  return { given, positional };
}

/** Throws the usage error for a value that is not of the flag's kind. */
export function checkValue(name: string, spec: FlagSpec, value: string): void {
  if (spec.kind === 'boolean' && !Object.hasOwn(BOOLEANS, value)) {
    throw usage(`Invalid value ${JSON.stringify(value)} for flag -${name}: write true or false`);
  }
  if (spec.kind === 'integer' && !/^[+-]?\d{1,9}$/.test(value)) {
    throw usage(`Invalid value ${JSON.stringify(value)} for flag -${name}: write a whole number`);
  }
}

export function booleanValue(value: string): boolean {
  return BOOLEANS[value] === true;
}

/** The environment variable of a flag: FLANNELD_ETCD_ENDPOINTS for etcd-endpoints (coreos/pkg/flagutil). */
export function environmentName(flag: string): string {
  return `FLANNELD_${flag.toUpperCase().replaceAll('-', '_')}`;
}

export function usage(message: string): DaemonError {
  return new DaemonError('USAGE', message);
}
