/** The life of resources: what every type has in common. */
import { createHash } from 'node:crypto';
import { at, type Cloud, type Context, type Resource } from './cloud.ts';
import { ApiError } from './errors.ts';
import type { Blocker, Kind } from './kind.ts';
import type { Problem, Schema } from './schema.ts';
import { type Bag, isBag, plain, sameValue, UNKNOWN, Unknown, type Value } from './values.ts';

/** Where the checked inputs say which of them were not given by the program, as Pulumi's bridged providers do. */
const DEFAULTS = '__defaults';

export interface Difference {
  /** Top-level properties. */
  readonly changed: readonly string[];
  readonly replaces: readonly string[];
  readonly deleteBeforeReplace: boolean;
}

export class Provider {
  private readonly kinds: ReadonlyMap<string, Kind>;

  constructor(
    readonly schema: Schema,
    kinds: readonly Kind[],
  ) {
    this.kinds = new Map(kinds.map((kind) => [kind.type, kind]));
  }

  /** The inputs with their defaults, and what is wrong with them. */
  check(type: string, olds: Bag, news: Bag, seed: Uint8Array, name: string): { inputs: Bag; problems: Problem[] } {
    const properties = this.schema.resource(type);
    const kind = this.kinds.get(type);
    if (properties === undefined || kind === undefined) {
      const reason =
        properties === undefined
          ? `is no resource of the SDK ${this.schema.version}`
          : 'is not known to this test double: describe it in tests/aws/double/kinds';
      return { inputs: news, problems: [{ property: type, reason }] };
    }
    const inputs = withName(kind, olds, news, seed, name);
    const refused = Object.entries(kind.validate?.(known(plain(inputs))) ?? {})
      .filter((entry): entry is [string, string] => entry[1] !== undefined)
      .map(([property, reason]) => ({ property, reason }));
    return { inputs, problems: [...this.schema.check(properties, inputs), ...refused] };
  }

  /** `outputs` are those of the state: default tags that have changed are a difference of every resource that has tags. */
  diff(type: string, oldInputs: Bag, news: Bag, outputs: Bag = {}, defaultTags: Bag = {}): Difference {
    const kind = this.kind(type);
    const paths = changedPaths(plain(oldInputs), plain(news), '');
    const fixing = kind.replaces === 'all' ? paths : [...kind.replaces, ...(kind.replacesIf?.(plain(news)) ?? [])];
    const fixed = (path: string): boolean => fixing.some((each) => path === each || path.startsWith(`${each}.`));
    const top = (path: string): string => path.split('.')[0]!;
    const replaces = [...new Set(paths.filter(fixed).map(top))];
    // Two things cannot have the same name at a time. Names that Pulumi has made up get new digits.
    const { autoName } = kind;
    const named = autoName !== undefined && autoName in news && !defaults(news).includes(autoName);
    const tags = outputs.tagsAll === undefined || sameValue(plain(outputs).tagsAll, tagsAll(news, defaultTags));
    return {
      changed: [...new Set([...paths.map(top), ...(tags ? [] : ['tagsAll'])])],
      replaces,
      deleteBeforeReplace: replaces.length > 0 && named && !replaces.includes(autoName),
    };
  }

  previewCreate(inputs: Bag): Bag {
    return withoutDefaults(inputs);
  }

  async create(type: string, urn: string, inputs: Bag, context: Context): Promise<Resource> {
    const kind = this.kind(type);
    const asked = plain(inputs);
    this.admit(kind, asked, context);
    const id = kind.prefix === undefined ? kind.id!(asked, context) : context.cloud.newId(kind.prefix);
    if (!kind.overwrites && context.cloud.get(type, id) !== undefined) {
      throw new ApiError('AlreadyExists', `${type.split(':').at(-1)} '${id}' already exists`);
    }
    const made = kind.outputs?.(asked, id, context) ?? {};
    // No waiting between what was asked and what is stored, unless there is something to compute.
    const outputs = complete(kind, inputs, made instanceof Promise ? await made : made, context);
    const resource = { urn, type, id, region: context.region, inputs, outputs };
    context.cloud.put(resource);
    kind.made?.(resource, context);
    return resource;
  }

  previewUpdate(type: string, olds: Bag, news: Bag): Bag {
    const { volatile = [] } = this.kind(type);
    return { ...olds, ...withoutDefaults(news), ...Object.fromEntries(volatile.map((key) => [key, UNKNOWN])) };
  }

  async update(type: string, id: string, inputs: Bag, context: Context): Promise<Resource> {
    const kind = this.kind(type);
    const old = this.existing(type, id, context);
    this.admit(kind, plain(inputs), context, old);
    const made = kind.outputs?.(plain(inputs), id, context, old) ?? {};
    const outputs = complete(kind, inputs, made instanceof Promise ? await made : made, context);
    const resource = { ...old, inputs, outputs };
    context.cloud.put(resource);
    kind.made?.(resource, context, old);
    return resource;
  }

  delete(type: string, id: string, context: Context): void {
    const { cloud } = context;
    const kind = this.kind(type);
    const resource = cloud.get(type, id);
    if (resource === undefined) return; // as the provider does: gone is gone
    kind.release?.(resource, context);
    const user = userOf(resource, kind.blockers ?? [], cloud);
    if (user !== undefined) {
      throw new ApiError(
        kind.inUse ?? 'DependencyViolation',
        `${type} '${id}' is still used by ${user.type} '${user.id}'`,
      );
    }
    cloud.remove(type, id);
  }

  kind(type: string): Kind {
    const kind = this.kinds.get(type);
    if (kind === undefined) throw new Error(`The type ${type} is not known to this test double`);
    return kind;
  }

  private existing(type: string, id: string, { cloud }: Context): Resource {
    const resource = cloud.get(type, id);
    if (resource === undefined) throw new ApiError('NotFound', `${type} '${id}' does not exist`);
    return resource;
  }

  private admit(kind: Kind, inputs: Bag, context: Context, old?: Resource): void {
    if (containsUnknown(inputs)) throw new Error(`${kind.type} ${context.name}: AWS was to be told an unknown value`);
    assertReferences(kind, inputs, context);
    const { unique } = kind;
    if (unique !== undefined) {
      const same = context.cloud
        .all(kind.type)
        .find(
          (other) => other.id !== old?.id && unique.by.every((key) => sameValue(plain(other.inputs)[key], inputs[key])),
        );
      if (same !== undefined) {
        const values = unique.by.map((key) => JSON.stringify(inputs[key] ?? null)).join(', ');
        throw new ApiError(unique.code, `${kind.type} with ${unique.by.join(', ')} ${values} already exists`);
      }
    }
    kind.admit?.(inputs, context, old);
  }
}

function tagsAll(inputs: Bag, defaultTags: Bag): Bag {
  const { tags } = plain(inputs);
  return { ...defaultTags, ...(isBag(tags) ? tags : {}) };
}

/** What was given stays as it was given, with its marks of secrets. */
function complete(kind: Kind, inputs: Bag, made: Bag, { region, defaultTags }: Context): Bag {
  const tags = kind.untagged ? {} : { tagsAll: tagsAll(inputs, defaultTags) };
  return { region, ...made, ...tags, ...withoutDefaults(inputs), ...overriding(kind, made) };
}

function userOf(resource: Resource, blockers: readonly Blocker[], cloud: Cloud): Resource | undefined {
  const names = [resource.id, String(resource.outputs.arn ?? resource.id)];
  return blockers
    .flatMap(({ type, path }) => names.flatMap((name) => cloud.users(type, path, name)))
    .find((user) => user.urn !== resource.urn);
}

/** Outputs that differ from an input of the same name on purpose. */
function overriding(kind: Kind, made: Bag): Bag {
  return Object.fromEntries((kind.volatile ?? []).flatMap((key) => (key in made ? [[key, made[key]!]] : [])));
}

function withName(kind: Kind, olds: Bag, news: Bag, seed: Uint8Array, name: string): Bag {
  const { autoName } = kind;
  if (autoName === undefined || autoName in news || `${autoName}Prefix` in news) return { ...news, [DEFAULTS]: [] };
  const kept = defaults(olds).includes(autoName) ? olds[autoName] : undefined;
  const digits = createHash('sha256').update(seed).update(name).digest('hex').slice(0, 7);
  return { ...news, [autoName]: kept ?? `${name}-${digits}`, [DEFAULTS]: [autoName] };
}

function defaults(inputs: Bag): readonly Value[] {
  const value = inputs[DEFAULTS];
  return Array.isArray(value) ? value : [];
}

function withoutDefaults(inputs: Bag): Bag {
  const { [DEFAULTS]: _, ...rest } = inputs;
  return rest;
}

/** What the program has told already. */
function known(inputs: Bag): Bag {
  return Object.fromEntries(Object.entries(inputs).filter(([, value]) => !containsUnknown(value)));
}

function containsUnknown(value: Value | undefined): boolean {
  if (value instanceof Unknown) return true;
  if (Array.isArray(value)) return value.some(containsUnknown);
  return isBag(value) && Object.values(value).some(containsUnknown);
}

/** The paths of what differs, without the indexes of lists. */
function changedPaths(a: Value | undefined, b: Value | undefined, path: string): string[] {
  if (isBag(a) && isBag(b)) {
    const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((key) => key !== DEFAULTS);
    return keys.flatMap((key) => changedPaths(a[key], b[key], path === '' ? key : `${path}.${key}`));
  }
  if (Array.isArray(a) && Array.isArray(b) && a.length === b.length) {
    return a.flatMap((each: Value, i) => changedPaths(each, b[i], path));
  }
  return sameValue(a, b) ? [] : [path];
}

/** Ids of EC2 tell by their prefix what they are of. */
const EC2_ID = /^(vpc|subnet|sg|eni|vol|igw|nat|eipalloc|rtb|lt|vpce|i|pg|dopt|ami|snap)-[0-9a-f]{8,17}$/;

/** Of keys, roles, logs and buckets; AWS's own policies are nobody's. */
const OWN_ARN = /^arn:aws:(?:kms|logs|s3|iam):(?!:aws:)[^/*]+[^*]*(?::\*)?$/;

function assertReferences(kind: Kind, inputs: Bag, context: Context): void {
  const { cloud } = context;
  for (const { path, type, code } of kind.references ?? []) {
    for (const reference of at(inputs, path)) cloud.require(type, reference, code, type);
  }
  const resources = [...cloud.resources.values()];
  const arns = new Set(resources.map(({ outputs }) => outputs.arn));
  for (const [path, arn] of stringsIn(inputs, '', OWN_ARN)) {
    if (arns.has(arn.replace(/:\*$/, ''))) continue;
    throw new ApiError('NotFound', `The ${path} '${arn}' does not exist`);
  }
  const ids = new Set(resources.map(({ id }) => id));
  const machines = cloud.machines;
  for (const [path, id] of stringsIn(inputs, '', EC2_ID)) {
    if (ids.has(id) || machines.has(id) || /^(ami|snap)-/.test(id)) continue;
    throw new ApiError(`Invalid${path}.NotFound`, `The ${path} '${id}' does not exist`);
  }
}

/** What matches, with the property that holds it. */
function stringsIn(value: Value | undefined, path: string, pattern: RegExp): [string, string][] {
  if (typeof value === 'string') return pattern.test(value) ? [[path, value]] : [];
  if (Array.isArray(value)) return value.flatMap((each: Value) => stringsIn(each, path, pattern));
  if (!isBag(value)) return [];
  return Object.entries(value).flatMap(([key, each]) => stringsIn(each, key, pattern));
}
