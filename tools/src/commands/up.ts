import { resolve } from 'node:path';
import { parseBackendConfig } from '@flannel-ts/flannel/backend-config';
import { kernelProblem } from '@flannel-ts/infra/local/host/requirements';
import { build } from '../../build/build.ts';
import { makeOverlayImage } from '../../build/flannel-image.ts';
import { buildKubernetes } from '../../build/kubernetes.ts';
import { ToolError, UsageError } from '../../setup/errors.mjs';
import { say } from '../../setup/progress.mjs';
import { setUp } from '../../setup/setup.mjs';
import { confirm } from '../confirm.ts';
import type { Context, Options } from '../context.ts';
import { Pulumi } from '../pulumi/cli.ts';
import { flag } from '../pulumi/names.ts';
import {
  assertStateIsKept,
  createStack,
  prepareState,
  readOutputs,
  readResources,
  stackExists,
  storeSettings,
  whileAlone,
} from '../pulumi/stack.ts';
import { asOutputs } from '../report/outputs.ts';
import { report } from '../report/report.ts';
import { type Checked, checkSettings } from '../settings/check.ts';
import { type Deployed, describeDeployed, findLosses, formatLosses, restoreSettings } from '../settings/deployed.ts';
import { type Changes, ownKey, readDefaults } from '../settings/effective.ts';
import { readSettingsFile } from '../settings/file.ts';
import { describeChanges, type SettingChange, settingChanges, shellWord } from '../settings/undo.ts';
import { renewKubeconfigs, untilPodsReady } from './cluster.ts';

/** The routes of the last node reach the first one within this time, or something is wrong. */
const PATIENCE_MS = 10_000;

export async function up(context: Context, options: Options): Promise<number> {
  const { stack } = options;
  checkUp(context, options);
  await build(context.root, context.env);
  const first = checkSettings(context.root, stack, changesOf(options));
  if (hasCluster(first)) await prepareCluster(context, first);
  const pulumi = new Pulumi(context);
  return whileAlone(pulumi, stack, () => upAlone(context, pulumi, options));
}

async function upAlone(context: Context, pulumi: Pulumi, options: Options): Promise<number> {
  const { stack } = options;
  const exists = await stackExists(pulumi, stack);
  const deployed = exists ? describeDeployed(await readResources(pulumi, stack)) : undefined;
  const changes = await settle(context, options, deployed);
  const checked = checkSettings(context.root, stack, changes);
  if (isLocal(checked)) checkKernel(checked);
  if (!exists && !isLocal(checked)) assertStateIsKept(pulumi, stack);
  if (!exists) await createStack(pulumi, stack);
  await storeSettings(pulumi, stack, checked, changes);
  const local = isLocal(checked);
  if (exists && local) await prepareState(pulumi, stack);
  const code = await runUp(pulumi, options, local);
  if (code !== 0) {
    say(
      incomplete(stack, exists ? settingChanges(readDefaults(context.root), checked.stored.settings, checked.own) : []),
    );
    return code > 128 ? code : 1;
  }
  const outputs = asOutputs(await readOutputs(pulumi, stack));
  if (outputs === undefined || !local) return 0;
  if (hasCluster(checked)) {
    await renewKubeconfigs(context, stack);
    if (options.wait !== undefined) await untilPodsReady(stack, options.wait);
  }
  return (await report(stack, outputs, { patienceMs: PATIENCE_MS })).reachable ? 0 : 1;
}

/** `changes`: settings of this command, which are stored before it is known whether the stack can have them. */
export function incomplete(stack: string, changes: readonly SettingChange[]): string {
  const [ahead, away] = [`"npm run up${flag(stack)}"`, `"npm run down${flag(stack)}" removes it`];
  if (changes.length === 0) return `Stack "${stack}" is incomplete: ${ahead} continues, ${away}`;
  const back = `"npm run up${flag(stack, changes.map(({ undo }) => undo).join(' '))}"`;
  return `Stack "${stack}" is incomplete, and the new settings stay stored: ${describeChanges(changes)}. ${ahead} continues with them, ${back} goes back to the former ones, ${away}`;
}

async function prepareCluster(context: Context, { effective }: Pick<Checked, 'effective'>): Promise<void> {
  const inPods = effective.get('overlay') === 'daemonset';
  const sets = inPods ? (['cluster', 'pulumi'] as const) : (['cluster'] as const);
  await setUp(context, { root: true, packages: ['kubernetes'], kubernetes: sets });
  await buildKubernetes(context);
  if (inPods) await makeOverlayImage(resolve(context.root, effective.get('artifact') ?? 'dist'), context.env);
}

export function hasCluster({ effective }: Pick<Checked, 'effective'>): boolean {
  return effective.get('kubernetes') === 'true';
}

/** All that can be seen without Pulumi, and before the machine is prepared. */
export function checkUp({ root }: Pick<Context, 'root'>, options: Options): void {
  const checked = checkSettings(root, options.stack, changesOf(options));
  if (isLocal(checked)) checkKernel(checked);
  else assertMayAsk('up', options);
}

/** What costs money is asked about, by Pulumi, after its preview. */
export function assertMayAsk(command: 'up' | 'down', { stack, yes }: Pick<Options, 'stack' | 'yes'>): void {
  if (yes || process.stdin.isTTY) return;
  throw new UsageError(
    `Stack "${stack}" is in a cloud and there is no terminal to ask for approval: "npm run pulumi -- preview${
      stack === 'local' ? '' : ` --stack ${stack}`
    }" shows what "${command}" would change, "npm run ${command}${flag(stack, '--yes')}" goes on without asking`,
  );
}

function runUp(pulumi: Pulumi, options: Options, local: boolean): Promise<number> {
  const args = confirmation(local, options);
  return local && !options.verbose
    ? pulumi.changeQuietly(options.stack, 'up', args)
    : pulumi.change(options.stack, 'up', args);
}

/**
 * The settings are in the checkout, the state is not: a checkout that moved, or another one, may know nothing of what is
 * deployed. Gives the changes with what had to be restored, and asks before anything goes that nobody gave up.
 */
async function settle(context: Context, options: Options, deployed: Deployed | undefined): Promise<Changes> {
  const { stack, yes } = options;
  const changes = changesOf(options);
  if (deployed === undefined) return changes;
  const asked = new Set([...Object.keys(changes.set), ...changes.unset].map((key) => key.split('.')[0]!));
  const { stored, effective } = checkSettings(context.root, stack, changes);
  const environment = effective.get('environment');
  if (environment !== deployed.environment) {
    throw new UsageError(
      `Stack "${stack}" is deployed in environment ${deployed.environment}, and ${stored.file} ${
        stored.exists ? `says ${environment}` : 'is missing in this checkout'
      }: bring the file back, or use another stack name`,
    );
  }
  const overlay = deployed.settings.get('overlay');
  if (overlay !== undefined && effective.get('kubernetes') === 'true' && effective.get('overlay') !== overlay) {
    throw new UsageError(
      `Stack "${stack}" has overlay ${overlay}, and its nodes' leases are where that keeps them: "npm run down${flag(stack)}" first, or --config overlay=${overlay}`,
    );
  }
  const lost = stored.settings.size === 0 ? restoreSettings(deployed, readDefaults(context.root), asked) : {};
  const restored = { ...changes, set: { ...lost, ...changes.set } };
  if (Object.keys(lost).length > 0) {
    const list = Object.entries(lost).map(([key, value]) => `${key}=${value}`);
    say(`${stored.file} has no settings, so those of the deployed stack are kept: ${list.join(', ')}`);
  }
  const losses = findLosses(deployed, checkSettings(context.root, stack, restored).effective, asked);
  if (losses.length > 0) {
    const keep = losses.map(({ key, deployed: value }) => `--config ${shellWord(`${key}=${value}`)}`).join(' ');
    const question = `"up" would remove, replace or interrupt parts of stack "${stack}": ${formatLosses(losses)}`;
    await confirm(question, yes, `"npm run up${flag(stack, keep)}" keeps what is deployed, --yes accepts the loss`);
  }
  return restored;
}

/** Before the settings are stored: what this kernel cannot run is no setting to keep. */
function checkKernel({ effective }: Checked): void {
  const problem = kernelProblem(parseBackendConfig(JSON.parse(effective.get('backend')!)));
  if (problem !== undefined) throw new ToolError('KERNEL', problem);
}

export function isLocal({ effective }: Pick<Checked, 'effective'>): boolean {
  return effective.get('environment') === 'local';
}

/**
 * Namespaces are created without a question; what costs money is asked about, unless the user has said yes. Even then the
 * preview comes first: only it refuses to remove what is protected before anything else is gone.
 */
export function confirmation(local: boolean, { yes }: Pick<Options, 'yes'>): string[] {
  if (local) return ['--yes', '--skip-preview'];
  return yes ? ['--yes'] : [];
}

type ChangeOptions = Pick<
  Options,
  'nodes' | 'pods' | 'backend' | 'kubernetes' | 'demo' | 'overlay' | 'publish' | 'file' | 'config' | 'unset'
>;

/** The type of the backend comes first: it decides what its other settings mean. */
export function changesOf(options: ChangeOptions): Changes {
  assertGivenOnce(options);
  const { nodes, pods, backend, kubernetes, demo, overlay, publish, file, config, unset } = options;
  const set = {
    ...(file !== undefined && readSettingsFile(file)),
    ...(backend === undefined ? {} : { 'backend.Type': backend }),
    // kubelet makes the pods.
    ...(kubernetes && { kubernetes: 'true', podsPerNode: '0' }),
    ...(demo && { demo: 'true' }),
    ...(publish && { publish: JSON.stringify(publish) }),
    ...(overlay !== undefined && { overlay }),
    ...config,
    ...(nodes === undefined ? {} : { nodes: String(nodes) }),
    ...(pods === undefined ? {} : { podsPerNode: String(pods) }),
  };
  return { set, unset };
}

/** What else sets a setting that has a flag of its own. */
const FLAG_SETTINGS: readonly (readonly [
  Exclude<keyof ChangeOptions, 'config' | 'unset' | 'file'>,
  readonly string[],
])[] = [
  ['nodes', ['nodes']],
  ['pods', ['podsPerNode']],
  ['backend', ['backend', 'backend.Type']],
  ['demo', ['demo', 'kubernetes']],
  ['publish', ['publish']],
  ['overlay', ['overlay', 'kubernetes']],
  ['kubernetes', ['kubernetes']],
];

function assertGivenOnce({ config, ...flags }: ChangeOptions): void {
  for (const [name, settings] of FLAG_SETTINGS) {
    const key =
      flags[name] === undefined ? undefined : Object.keys(config).find((k) => settings.includes(ownKey(k) ?? k));
    if (key === undefined) continue;
    const more = name === 'backend' ? ', and --config backend.KEY=VALUE for more' : '';
    throw new UsageError(`--${name} and --config ${key}= are both given: use one of them${more}`);
  }
}
