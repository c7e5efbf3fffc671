/** What the commands do to a stack beside changing its resources. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { kindOfType, namesHost, providerText } from '@flannel-ts/infra/local/provider-text';
import { ToolError, UsageError } from '../../setup/errors.mjs';
import { withLock } from '../../setup/lock.mjs';
import { say } from '../../setup/progress.mjs';
import type { Checked } from '../settings/check.ts';
import type { Resource } from '../settings/deployed.ts';
import { type Changes, ownKey, PROJECT } from '../settings/effective.ts';
import type { Pulumi } from './cli.ts';
import { isHeld, readLocks } from './locks.ts';
import { flag } from './names.ts';
import { endOrphans } from './orphans.ts';

/** Pulumi's summary of each. It reads the files of all stacks, and ends with "EOF" when a command on another one is just writing its own. */
export async function listStacks<Summary extends { readonly name: string }>(pulumi: Pulumi): Promise<Summary[]> {
  for (let tries = 1; ; tries++) {
    try {
      return JSON.parse(await pulumi.ask(['stack', 'ls', '--json'])) as Summary[];
    } catch (error) {
      if (tries === 5 || !/\bEOF\b|unexpected end/i.test((error as Error).message)) throw error;
      await sleep(100 * tries);
    }
  }
}

export async function stackExists(pulumi: Pulumi, stack: string): Promise<boolean> {
  const list = await listStacks(pulumi);
  return list.some(({ name }) => name.split('/').at(-1) === stack);
}

/** Where the stack's settings are, once it has some: Pulumi.yaml's stackConfigDir. */
export function settingsFile(pulumi: Pulumi, stack: string): string {
  return join(pulumi.root, 'stacks', `Pulumi.${stack}.yaml`);
}

export async function createStack(pulumi: Pulumi, stack: string): Promise<void> {
  dropForeignSalt(settingsFile(pulumi, stack));
  const provider = pulumi.backend.env.FLANNEL_SECRETS_PROVIDER;
  const secrets = provider ? ['--secrets-provider', provider] : [];
  await pulumi.ask(['stack', 'init', stack, '--no-select', ...secrets]);
}

/**
 * The cache may be deleted at any time, and with it the only list of what an account is charged for. Stacks that exist may go on, so
 * that they can be moved or removed.
 */
export function assertStateIsKept({ backend }: Pulumi, stack: string): void {
  if (!backend.inCache) return;
  throw new UsageError(
    `Stack "${stack}" is in a cloud, and its state would be in ${backend.directory}, which may be deleted at any time: "npm run aws:state" creates a bucket for it, PULUMI_BACKEND_URL says where else to keep it, also in files (file:///srv/pulumi)`,
  );
}

/**
 * Settings that have outlived their stack name a salt that belongs to the passphrase of that time. Where they hold nothing
 * encrypted, a new one serves as well.
 */
function dropForeignSalt(file: string): void {
  if (!existsSync(file)) return;
  const settings = readFileSync(file, 'utf8');
  if (/^\s*-?\s*secure:/m.test(settings)) return;
  writeFileSync(file, settings.replace(/^encryptionsalt:.*\n?/m, ''));
}

/** Stores what differs from what is stored. `more`: settings of other namespaces. */
export async function storeSettings(
  pulumi: Pulumi,
  stack: string,
  { stored, own }: Pick<Checked, 'stored' | 'own'>,
  changes: Changes,
): Promise<void> {
  const others = Object.entries(changes.set).filter(([key]) => ownKey(key) === undefined);
  const changed = [...own].filter(([key, value]) => stored.settings.get(key) !== value);
  const gone = [...stored.settings.keys()].filter((key) => !own.has(key));
  const foreign = stored.foreign.filter((key) => changes.unset.includes(key));
  await configure(pulumi, stack, Object.fromEntries([...changed, ...others]));
  const removed = [...gone.map(qualify), ...foreign];
  if (removed.length > 0) await pulumi.ask(['config', 'rm-all', '--stack', stack, ...removed]);
}

/** One call for all settings, each of them whole. */
export async function configure(
  pulumi: Pulumi,
  stack: string,
  settings: Readonly<Record<string, string>>,
): Promise<void> {
  const entries = Object.entries(settings);
  if (entries.length === 0) return;
  const values = Object.fromEntries(entries.map(([key, value]) => [qualify(key), configValue(key, value)]));
  await pulumi.ask(['config', 'set-all', '--stack', stack, '--json', JSON.stringify(values)]);
}

function qualify(key: string): string {
  return key.includes(':') ? key : `${PROJECT}:${key}`;
}

/** As `pulumi config --json` shows it. */
export function configValue(key: string, value: string): { value: string; objectValue?: unknown } {
  if (!/^\s*[{[]/.test(value)) return { value };
  try {
    return { value, objectValue: JSON.parse(value) };
  } catch (cause) {
    throw new UsageError(`--config ${key}: "${value}" is not valid JSON (${(cause as Error).message})`);
  }
}

/** The text of a setting, undefined if neither the stack nor the project sets it. */
export async function readSetting(pulumi: Pulumi, stack: string, key: string): Promise<string | undefined> {
  const all = JSON.parse(await pulumi.ask(['config', '--json', '--stack', stack])) as Record<
    string,
    { value?: string }
  >;
  return all[qualify(key)]?.value;
}

/** How long another command may take until this one gives up; an `up` of many nodes takes minutes. */
const PATIENCE_MS = 300_000;
const POLL_MS = 250;

/**
 * Does `work` while nobody else changes the stack: other commands of ours wait for the lock, one after the other, and Pulumi's own
 * is waited for. What there is of the stack is known only in here.
 */
export async function whileAlone<T>(pulumi: Pulumi, stack: string, work: () => Promise<T>): Promise<T> {
  await takeOver(pulumi, stack); // it knows who is at it, which the lock does not
  return withLock(pulumi.lockFile(stack), `changing stack "${stack}"`, async () => {
    await takeOver(pulumi, stack);
    return work();
  });
}

/** Waits until nobody else changes the stack, and clears what a killed command has left behind. */
export async function takeOver(pulumi: Pulumi, stack: string): Promise<void> {
  await clearStaleLocks(pulumi, stack);
  await endOrphans(pulumi.mark(stack));
}

/**
 * Removes the lock of a command that was killed, and waits for one that is still at work: an interrupted one first finishes
 * what it is at.
 */
async function clearStaleLocks(pulumi: Pulumi, stack: string): Promise<void> {
  const { directory } = pulumi.backend;
  if (directory === undefined) return;
  const deadline = Date.now() + PATIENCE_MS;
  let locks = readLocks(directory, stack);
  for (let told = false; locks.some(isHeld); locks = readLocks(directory, stack)) {
    const { pid, username, hostname, timestamp } = locks.find(isHeld)!;
    const who = `process ${pid} of ${username}@${hostname}, since ${timestamp}`;
    if (Date.now() > deadline) {
      throw new ToolError('LOCKED', `The stack "${stack}" is being changed by ${who}: wait until that is done`);
    }
    if (!told) say(`The stack "${stack}" is being changed by ${who}; waiting for it to finish ...`);
    told = true;
    await sleep(POLL_MS);
  }
  if (locks.length === 0) return;
  say(`Removing the lock of process ${locks.map(({ pid }) => pid).join(', ')}, which has ended without giving it back`);
  await pulumi.ask(['cancel', '--yes', '--stack', stack]);
}

interface Export {
  readonly deployment: { pending_operations?: unknown[]; resources?: readonly Resource[] } & Record<string, unknown>;
}

/** All that the state knows of; none for a stack that was never deployed. */
export async function readResources(pulumi: Pulumi, stack: string): Promise<readonly Resource[]> {
  const state = JSON.parse(await pulumi.ask(['stack', 'export', '--stack', stack])) as Partial<Export>;
  return state.deployment?.resources ?? [];
}

/**
 * Forgets what an interrupted command was about to do, and puts code that works in the place of code of another version. In
 * the local environment that is safe: what was made half bears the stack's name, and making or removing it again starts with
 * looking whether it exists.
 */
export async function prepareState(pulumi: Pulumi, stack: string): Promise<void> {
  const state = JSON.parse(await pulumi.ask(['stack', 'export', '--stack', stack])) as Export;
  const { deployment } = state;
  const pending = deployment?.pending_operations?.length ?? 0;
  const renewed = (deployment?.resources ?? []).filter(renewProvider).length;
  if (pending === 0 && renewed === 0) return;
  if (pending > 0) say(`Clearing ${plural(pending, 'operation')} that an interrupted command had begun`);
  if (renewed > 0) say(`Renewing the code that the state has for ${plural(renewed, 'resource')}`);
  delete deployment.pending_operations;
  await pulumi.ask(['stack', 'import', '--stack', stack], JSON.stringify(state));
}

/** Whether the resource's code had to be replaced. */
function renewProvider({ type, inputs, outputs }: Resource): boolean {
  const kind = kindOfType(type);
  if (kind === undefined) return false;
  const outdated = [inputs, outputs].filter(
    (properties) => typeof properties?.__provider === 'string' && !namesHost(properties.__provider),
  );
  for (const properties of outdated) Object.assign(properties!, { __provider: providerText(kind) });
  return outdated.length > 0;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Throws if there is none. Secrets are masked unless they are asked for. */
export async function readOutputs(pulumi: Pulumi, stack: string, { secrets = false } = {}): Promise<unknown> {
  if (!(await stackExists(pulumi, stack))) {
    throw new ToolError(
      'NO_STACK',
      `Stack "${stack}" does not exist: "npm run up${flag(stack)}" creates it, "npm run stacks" lists those that exist`,
    );
  }
  const args = ['stack', 'output', '--json', ...(secrets ? ['--show-secrets'] : []), '--stack', stack];
  return JSON.parse(await pulumi.ask(args));
}
