/**
 * What all resources of the local environment have in common. A resource says how to bring its thing about, how to look at
 * it and how to remove it, each of them any number of times; the six methods that Pulumi calls follow from these.
 */

/** `pulumi.runtime.unknownValue`: stands for an output that is not known yet, in previews and in comparisons. */
const UNKNOWN = '04da6b54-80e4-46f7-96ec-b56ff0331ba9';
const PROVIDER = '__provider';

type Properties = Record<string, unknown>;

export interface CheckFailure {
  readonly property: string;
  readonly reason: string;
}

export interface ResourceKind<I extends object, O extends object> {
  /** The id in the state; from the inputs alone, so that it is known even if the making fails. */
  id(inputs: I): string;
  /** Inputs whose change replaces the resource. */
  readonly identity: readonly (keyof I & string)[];
  /** Inputs whose change is no difference. */
  readonly ignored?: readonly (keyof I & string)[];
  /** Reasons to refuse the inputs, found before anything is created. */
  check?(inputs: I): CheckFailure[];
  /** Whether a resource without drift has to be renewed. */
  stale?(outputs: I & O): boolean;
  /** Brings the resource into the state of the inputs, whatever exists already. `old`: its last known properties. */
  ensure(inputs: I, old: (I & O) | undefined): Promise<O>;
  /** The actual state. */
  observe(outputs: I & O): Promise<Observation<O>>;
  /** Removes the resource; a missing one is no error. */
  remove(outputs: I & O): Promise<void>;
}

/** Either nothing is left of it, or it is there, in good order unless `drift` says what is wrong. */
export type Observation<O> =
  | { readonly present: false }
  | { readonly present: true; readonly drift?: string; readonly outputs?: Partial<O> };

export const ABSENT = { present: false } as const;

export interface Handler {
  check(olds: Properties, news: Properties): Promise<{ inputs: Properties; failures: CheckFailure[] }>;
  diff(
    id: string,
    olds: Properties,
    news: Properties,
  ): Promise<{ changes: boolean; replaces: string[]; deleteBeforeReplace: boolean }>;
  create(inputs: Properties): Promise<{ id: string; outs: Properties }>;
  read(id: string, props: Properties): Promise<{ id?: string; props?: Properties }>;
  update(id: string, olds: Properties, news: Properties): Promise<{ outs: Properties }>;
  delete(id: string, props: Properties): Promise<void>;
}

export function handler<I extends object, O extends object>(kind: ResourceKind<I, O>): Handler {
  /** Outputs are complete even after a failure: what the state does not know, no later step can repair or remove. */
  async function ensure(news: Properties, olds: Properties | undefined, id: string): Promise<Properties> {
    try {
      const made = await kind.ensure(news as I, olds as (I & O) | undefined);
      return { ...news, ...made, drift: '' };
    } catch (error) {
      throw initFailed(error, id, { ...olds, ...news, drift: messageOf(error) });
    }
  }
  return {
    async check(_olds, news) {
      return { inputs: news, failures: kind.check?.(news as I) ?? [] };
    },
    async diff(_id, olds, news) {
      const ignored = new Set<string>([PROVIDER, ...(kind.ignored ?? [])]);
      const changed = Object.keys(news).filter((key) => !ignored.has(key) && !sameValue(olds[key], news[key]));
      const replaces = changed.filter((key) => kind.identity.some((identity) => identity === key));
      const stale = kind.stale?.(olds as I & O) ?? false;
      // Names and addresses are taken until the old thing has gone.
      return { changes: changed.length > 0 || Boolean(olds.drift) || stale, replaces, deleteBeforeReplace: true };
    },
    async create(news) {
      const id = kind.id(news as I);
      return { id, outs: await ensure(news, undefined, id) };
    },
    async read(id, props) {
      const seen = await quietly(kind.observe(props as I & O));
      return seen.present ? { id, props: { ...props, ...seen.outputs, drift: seen.drift ?? '' } } : {};
    },
    async update(id, olds, news) {
      return { outs: await ensure(news, olds, id) };
    },
    async delete(_id, props) {
      await quietly(kind.remove(props as I & O));
    },
  };
}

/** Pulumi saves what an error with an id carries, and tries again with the next `up`. */
function initFailed(error: unknown, id: string, properties: Properties): Error {
  return Object.assign(new Error(messageOf(error)), { id, properties, reasons: [messageOf(error)] });
}

/** Pulumi's host prints the stack of what these methods throw; the message is written for the user, the stack is not. */
async function quietly<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof Error) error.stack = error.message;
    throw error;
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function isUnknown(value: unknown): boolean {
  return value === UNKNOWN;
}

/** Equal as JSON is; an unknown value equals nothing. */
export function sameValue(a: unknown, b: unknown): boolean {
  if (isUnknown(a) || isUnknown(b)) return false;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].every((key) => sameValue((a as Properties)[key], (b as Properties)[key]));
}
