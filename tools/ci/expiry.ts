/** How long a CI stack may live. Pure. */

/** Stack tags, which every backend keeps. The resources' own tags have the same names. */
export const TAGS = {
  ttl: 'flannel:ttl',
  branch: 'flannel:branch',
  commit: 'flannel:commit',
  environment: 'flannel:environment',
} as const;

/** For a tag that somebody has changed into what is no time: a day is enough for any run. */
const UNREADABLE_HOURS = 24;
const HOUR_MS = 3_600_000;

/** ISO 8601, in whole seconds. */
export function expiryTime(now: Date, ttlHours: number): string {
  return new Date(now.getTime() + ttlHours * HOUR_MS).toISOString().replace(/\.\d+Z$/, 'Z');
}

export interface Age {
  /** The value of the ttl tag; undefined for a stack without one. A run writes it before it creates anything. */
  readonly ttl?: string;
  /** ISO 8601; undefined for a stack that was never updated. */
  readonly lastUpdate?: string;
}

export type Expiry =
  | { readonly state: 'alive' | 'expired'; readonly expires: string }
  /** Nobody knows how old it is, or it has no tag of ours and may be somebody else's: people must look at it. */
  | { readonly state: 'unknown' };

export function expiryOf({ ttl, lastUpdate }: Age, now: Date): Expiry {
  const expires = ttl === undefined ? undefined : (readTime(ttl) ?? addHours(readTime(lastUpdate), UNREADABLE_HOURS));
  if (expires === undefined) return { state: 'unknown' };
  return { state: expires <= now.getTime() ? 'expired' : 'alive', expires: expiryTime(new Date(expires), 0) };
}

function readTime(text: string | undefined): number | undefined {
  const time = Date.parse(text ?? '');
  return Number.isNaN(time) ? undefined : time;
}

function addHours(time: number | undefined, hours: number): number | undefined {
  return time === undefined ? undefined : time + hours * HOUR_MS;
}
