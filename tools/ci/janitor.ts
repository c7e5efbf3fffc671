/** Removes CI stacks whose time is over: those of runs that were killed, or kept to be looked at. */
import { hostname } from 'node:os';
import type { StackSummary } from '@pulumi/pulumi/automation';
import { build } from '../build/build.ts';
import { say } from '../setup/progress.mjs';
import type { Context, Options } from '../src/context.ts';
import { isHeld, readLocks } from '../src/pulumi/locks.ts';
import { formatTable } from '../src/report/table.ts';
import { type Expiry, expiryOf, TAGS } from './expiry.ts';
import { isCiStack } from './names.ts';
import { tearDown } from './teardown.ts';
import { CI_DEFAULTS } from './usage.mjs';
import { type Ci, MACHINE_TAG, openCi } from './workspace.ts';

interface Found {
  readonly name: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly resources: number | undefined;
  readonly expiry: Expiry;
  /** Why it cannot be removed now, though it is expired. */
  readonly obstacle?: string;
}

/** 0 if nothing expired is left, 1 if something is. */
export async function janitor(context: Context, { ci: options = CI_DEFAULTS }: Options): Promise<number> {
  const ci = await openCi(context);
  const found = await findStacks(ci, new Date());
  process.stdout.write(`${formatStacks(found)}\n`);
  const expired = found.filter(({ expiry }) => expiry.state === 'expired');
  if (expired.length === 0) return 0;
  if (!options.destroy) {
    say(`${expired.length} expired: "npm run janitor -- --destroy" removes ${expired.length === 1 ? 'it' : 'them'}`);
    return 0;
  }
  await build(context.root, context.env, 'infra');
  const results: boolean[] = [];
  for (const stack of expired) results.push(await remove(ci, stack)); // one at a time: each may say much
  return results.every(Boolean) ? 0 : 1;
}

async function findStacks(ci: Ci, now: Date): Promise<Found[]> {
  const found: Found[] = [];
  for (const summary of await ci.workspace.listStacks()) {
    const name = summary.name.split('/').at(-1)!;
    if (isCiStack(name)) found.push(await describe(ci, name, summary, now));
  }
  return found;
}

async function describe(ci: Ci, name: string, summary: StackSummary, now: Date): Promise<Found> {
  const tags = await ci.workspace.listTags(name);
  const ttl = tags[TAGS.ttl];
  const { lastUpdate } = summary;
  const age = { ...(ttl === undefined ? {} : { ttl }), ...(lastUpdate === undefined ? {} : { lastUpdate }) };
  const obstacle = obstacleOf(ci, name, tags);
  return {
    name,
    tags,
    resources: summary.resourceCount,
    expiry: expiryOf(age, now),
    ...(obstacle === undefined ? {} : { obstacle }),
  };
}

function obstacleOf({ pulumi }: Ci, name: string, tags: Readonly<Record<string, string>>): string | undefined {
  if (tags[TAGS.ttl] === undefined) return `has no tag ${TAGS.ttl}, so that it may be somebody else's`;
  const machine = tags[MACHINE_TAG];
  if (machine !== undefined && machine !== hostname()) return `is on the machine ${machine}: run the janitor there`;
  const { directory } = pulumi.backend;
  const held = directory === undefined ? undefined : readLocks(directory, name).find(isHeld);
  return held && `is being changed by process ${held.pid} on ${held.hostname}`;
}

async function remove(ci: Ci, { name, tags, obstacle }: Found): Promise<boolean> {
  if (obstacle !== undefined) {
    say(`Left: "${name}" ${obstacle}`);
    return false;
  }
  try {
    await tearDown(ci, name, tags[TAGS.environment] ?? 'local');
    say(`Removed "${name}"`);
    return true;
  } catch (error) {
    say((error as Error).message);
    return false;
  }
}

function formatStacks(found: readonly Found[]): string {
  if (found.length === 0) return 'There are no stacks made for CI';
  const rows = found.map(({ name, tags, resources, expiry, obstacle }) => [
    name,
    tags[TAGS.environment] ?? '?',
    tags[TAGS.branch] ?? '?',
    'expires' in expiry ? expiry.expires : '?',
    String(resources ?? '?'),
    obstacle === undefined ? expiry.state : `${expiry.state}; ${obstacle}`,
  ]);
  return formatTable([['STACK', 'WHERE', 'BRANCH', 'EXPIRES', 'RESOURCES', ''], ...rows]);
}
