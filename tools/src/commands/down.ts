import { existsSync, readFileSync, rmSync } from 'node:fs';
import { sweep } from '@flannel-ts/infra/local/host/sweep';
import { build } from '../../build/build.ts';
import { ToolError } from '../../setup/errors.mjs';
import { say } from '../../setup/progress.mjs';
import type { Context, Options } from '../context.ts';
import { removeFromKubeconfigs } from '../kubeconfig/merge.ts';
import { Pulumi } from '../pulumi/cli.ts';
import { flag } from '../pulumi/names.ts';
import { prepareState, readResources, readSetting, settingsFile, stackExists, whileAlone } from '../pulumi/stack.ts';
import { describeDeployed } from '../settings/deployed.ts';
import { assertMayAsk, confirmation } from './up.ts';

/**
 * Removes a stack: by its state, then by its name, since an interrupted command may have left things that no state knows.
 */
export async function down(context: Context, options: Options): Promise<number> {
  const { stack } = options;
  const pulumi = new Pulumi(context);
  return whileAlone(pulumi, stack, () => downAlone(context, pulumi, options));
}

async function downAlone(context: Context, pulumi: Pulumi, options: Options): Promise<number> {
  const { stack } = options;
  const exists = await stackExists(pulumi, stack);
  if (exists) {
    await build(context.root, context.env, 'infra');
    const local = await isDeployedLocally(pulumi, stack);
    if (!local) assertMayAsk('down', options);
    const code = local ? await destroyLocal(pulumi, options) : await destroyCloud(pulumi, options);
    if (code !== 0) {
      say(`Stack "${stack}" still exists: "npm run down${flag(stack)}" tries again`);
      return code;
    }
    if (!local) return 0; // its settings are worth keeping
  }
  const found = await sweep(stack);
  for (const what of found) say(`Removed what was left: ${what}`);
  await removeFromKubeconfigs(context.env, stack);
  const settings = settingsFile(pulumi, stack);
  if (existsSync(settings) && isOfThisMachine(readFileSync(settings, 'utf8'))) rmSync(settings);
  if (!exists && found.length === 0) say(`Stack "${stack}" does not exist, and nothing of it is on this machine`);
  return 0;
}

/** By what it has made, since the settings may be another checkout's; by these only if it has made nothing. */
async function isDeployedLocally(pulumi: Pulumi, stack: string): Promise<boolean> {
  const deployed = describeDeployed(await readResources(pulumi, stack));
  const environment = deployed?.environment ?? (await readSetting(pulumi, stack, 'environment')) ?? 'local';
  return environment === 'local';
}

/** The settings of a stack in a cloud are everybody's, and are kept by git. */
export function isOfThisMachine(settings: string): boolean {
  const [, environment = 'local'] = /^\s*flannel:environment:\s*["']?([\w-]+)/m.exec(settings) ?? [];
  return environment === 'local';
}

async function destroyCloud(pulumi: Pulumi, options: Options): Promise<number> {
  const { stack } = options;
  const code = await pulumi.change(stack, 'destroy', confirmation(false, options));
  if (code !== 0) return code > 128 ? code : 1;
  await pulumi.ask(['stack', 'rm', stack, '--yes', '--preserve-config']);
  say(`Removed stack "${stack}"; its settings are kept in stacks/Pulumi.${stack}.yaml`);
  return 0;
}

/** The exit code: 0 when the state is gone. */
async function destroyLocal(pulumi: Pulumi, options: Options): Promise<number> {
  const { stack, verbose } = options;
  const args = [...confirmation(true, options), '--remove'];
  const attempt = () =>
    verbose ? pulumi.change(stack, 'destroy', args) : pulumi.changeQuietly(stack, 'destroy', args);
  await prepareState(pulumi, stack);
  const code = await attempt();
  if (code === 0) return 0;
  if (code > 128) return code;
  say(`Removing by name what "${stack}" has on this machine, since its state cannot be followed`);
  for (const what of await sweep(stack)) say(`Removed: ${what}`);
  if ((await attempt()) === 0) return 0;
  // Nothing is left that the state could describe: what its delete code cannot do any more need not be done.
  await forget(pulumi, stack);
  say(`Nothing of "${stack}" is left on this machine; its state, which could not be followed, was discarded`);
  return 0;
}

async function forget(pulumi: Pulumi, stack: string): Promise<void> {
  try {
    await pulumi.ask(['stack', 'rm', stack, '--force', '--yes', '--preserve-config']);
  } catch (error) {
    throw new ToolError(
      'DESTROY',
      `Nothing of "${stack}" is left on this machine, but its state cannot be discarded: ${(error as Error).message}`,
    );
  }
}
