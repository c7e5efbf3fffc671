/** The settings a stack would have: the project's defaults, the stack's file over them, and what this command changes. */
import { join } from 'node:path';
import { UsageError } from '../../setup/errors.mjs';
import { readYaml } from './yaml.ts';

export const PROJECT = 'flannel';

/** By key without the project's name: the text as `pulumi.Config` gives it, objects as JSON. */
export type Settings = ReadonlyMap<string, string>;

export interface Changes {
  /** Keys with a dot lead into an object: `backend.Port`. */
  readonly set: Readonly<Record<string, string>>;
  readonly unset: readonly string[];
}

export interface Stored {
  /** Relative to the checkout. */
  readonly file: string;
  /** False if the checkout has no such file. */
  readonly exists: boolean;
  readonly settings: Settings;
  /** Keys of no namespace that Pulumi, its providers or this project has. */
  readonly foreign: readonly string[];
}

/** Another type of backend is another backend: the keys of the one before mean nothing to it. */
const TYPES: readonly string[] = ['backend.Type'];

/** Whose settings the other namespaces are. */
const OTHER_NAMESPACES = ['pulumi', 'aws', 'tls'];

export function readDefaults(root: string): Settings {
  const { config } = (readYaml(root, join(root, 'Pulumi.yaml')) ?? {}) as {
    config?: Record<string, { default?: unknown }>;
  };
  const entries = Object.entries(config ?? {}).filter(([, declared]) => declared?.default !== undefined);
  return new Map(entries.map(([key, declared]) => [key, textOf(declared.default)]));
}

export function readStored(root: string, stack: string): Stored {
  const file = join('stacks', `Pulumi.${stack}.yaml`);
  const content = readYaml(root, join(root, file));
  const entries = Object.entries((content?.config ?? {}) as Record<string, unknown>);
  const own = entries.flatMap(([key, value]): [string, string][] => {
    const name = ownKey(key);
    return name === undefined ? [] : [[name, textOf(value)]];
  });
  const foreign = entries
    .map(([key]) => key)
    .filter((key) => ownKey(key) === undefined && !OTHER_NAMESPACES.includes(key.split(':')[0]!));
  return { file, exists: content !== undefined, settings: new Map(own), foreign };
}

/** Undefined for a key of another namespace. */
export function ownKey(key: string): string | undefined {
  if (!key.includes(':')) return key;
  return key.startsWith(`${PROJECT}:`) ? key.slice(PROJECT.length + 1) : undefined;
}

/** What the stack's file will hold. Parts of objects become whole objects, on top of what is in force now. */
export function applyChanges(defaults: Settings, stored: Settings, { set, unset }: Changes): Settings {
  const result = new Map(stored);
  for (const key of unset) removeKey(result, ownKey(key) ?? key);
  // A type first, whatever the order on the command line: it decides which other keys are kept.
  const isType = ([key]: [string, string]): number => Number(TYPES.includes(ownKey(key) ?? key));
  for (const [key, value] of Object.entries(set).sort((a, b) => isType(b) - isType(a))) {
    const name = ownKey(key);
    if (name === undefined) {
      assertKnownNamespace(key);
      continue;
    }
    const [head = '', ...path] = name.split('.');
    if (path.length === 0) result.set(head, value);
    else result.set(head, withPart(head, result.get(head) ?? defaults.get(head), path, value));
  }
  return result;
}

function assertKnownNamespace(key: string): void {
  const namespace = key.split(':')[0]!;
  if (OTHER_NAMESPACES.includes(namespace)) return;
  throw new UsageError(
    `--config ${key}: there is no namespace "${namespace}": leave it out, or use one of ${[PROJECT, ...OTHER_NAMESPACES].join(', ')}`,
  );
}

/** `backend.Prot` removes one key of the object, and the object with its last key. */
function removeKey(settings: Map<string, string>, key: string): void {
  const [head = '', ...path] = key.split('.');
  const object = objectOf(settings.get(head));
  if (path.length === 0 || object === undefined) {
    settings.delete(key);
    return;
  }
  delete parentOf(object, path)?.[path.at(-1)!];
  if (Object.keys(object).length === 0) settings.delete(head);
  else settings.set(head, JSON.stringify(object));
}

function withPart(head: string, text: string | undefined, path: readonly string[], value: string): string {
  const object = text === undefined ? {} : objectOf(text);
  if (object === undefined) throw new UsageError(`--config ${[head, ...path].join('.')}: ${head} is no object`);
  let parent = object;
  for (const key of path.slice(0, -1)) {
    const inner = parent[key] ?? {};
    if (!isObject(inner)) throw new UsageError(`--config ${[head, ...path].join('.')}: ${key} is no object`);
    parent[key] = inner;
    parent = inner;
  }
  const last = path.at(-1)!;
  if (TYPES.includes([head, ...path].join('.')) && parent[last] !== value) return JSON.stringify({ [last]: value });
  parent[last] = scalarOf(value);
  return JSON.stringify(object);
}

function parentOf(object: Record<string, unknown>, path: readonly string[]): Record<string, unknown> | undefined {
  let parent: unknown = object;
  for (const key of path.slice(0, -1)) parent = isObject(parent) ? parent[key] : undefined;
  return isObject(parent) ? parent : undefined;
}

/** As `pulumi config set --path` reads it. */
function scalarOf(text: string): unknown {
  if (text === 'true' || text === 'false') return text === 'true';
  return /^-?(?:0|[1-9]\d{0,14})$/.test(text) ? Number(text) : text;
}

function objectOf(text: string | undefined): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text ?? '');
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string {
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value ?? '');
}
