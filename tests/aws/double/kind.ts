/** What the double knows of a type of resource. */
import type { Context, Resource } from './cloud.ts';
import type { Bag } from './values.ts';

/** Points to a resource that has to be there. */
export interface Reference {
  /** Where the name, id or ARN stands: "role", "launchTemplate.id". */
  readonly path: string;
  readonly type: string;
  /** What AWS says if it is missing. */
  readonly code: string;
}

/** Somebody who keeps a resource from being deleted: those of `type` that name it at `path`. */
export interface Blocker {
  readonly type: string;
  readonly path: string;
}

export interface Kind {
  readonly type: string;
  /** Its ids are `prefix-0123456789abcdef0`. Otherwise `id` says. */
  readonly prefix?: string;
  readonly id?: (inputs: Bag, context: Context) => string;
  /** Its property that Pulumi fills with a name and random digits when it was not given. */
  readonly autoName?: string;
  /** Properties that cannot change: a new resource takes the place of the old. "rootBlockDevice.encrypted" for nested ones. */
  readonly replaces: readonly string[] | 'all';
  /** More of them, when other properties say so. */
  readonly replacesIf?: (inputs: Bag) => readonly string[];
  readonly references?: readonly Reference[];
  /** What the provider itself refuses, without asking AWS: sentences by property. Unknown values are absent. */
  readonly validate?: (inputs: Bag) => Readonly<Record<string, string | undefined>>;
  /** Throws an ApiError for what AWS refuses; `old` is there on an update. */
  readonly admit?: (inputs: Bag, context: Context, old?: Resource) => void;
  /** What AWS adds to the inputs; `old` is there on an update. */
  readonly outputs?: (inputs: Bag, id: string, context: Context, old?: Resource) => Bag | Promise<Bag>;
  /** Outputs that an update changes, unknown in a preview. */
  readonly volatile?: readonly string[];
  /** What AWS does then, beyond this resource. */
  readonly made?: (resource: Resource, context: Context, old?: Resource) => void;
  readonly blockers?: readonly Blocker[];
  /** What AWS answers when somebody still uses it. */
  readonly inUse?: string;
  /** Throws an ApiError if it cannot be deleted for other reasons. */
  readonly release?: (resource: Resource, context: Context) => void;
  /** A second one with the same values of these is refused. */
  readonly unique?: { readonly by: readonly string[]; readonly code: string };
  /** One with the same id is overwritten, as an object in a bucket is. */
  readonly overwrites?: boolean;
  /** Has no property `tags`, or one that is no map of AWS's tags. */
  readonly untagged?: boolean;
}
