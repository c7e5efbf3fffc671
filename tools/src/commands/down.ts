import { existsSync, readFileSync, rmSync } from 'node:fs';
import { sweep } from '../../../infra/local/host/sweep.ts';
import { build } from '../../build/build.mjs';
import { ToolError } from '../../setup/errors.mjs';
import { say } from '../../setup/progress.mjs';
import type { Context, Options } from '../context.ts';
import { Pulumi } from '../pulumi/cli.ts';
import { clearPendingOperations, settingsFile, stackExists, takeOver } from '../pulumi/stack.ts';
import { confirmation, isLocal } from './up.ts';

/**
 * Removes a stack: by its state, then by its name, since an interrupted command may have left things that no state knows.
 */
export async function down(context: Context, options: Options): Promise<number> {
  const { stack } = options;
  const pulumi = new Pulumi(context);
  const exists = await stackExists(pulumi, stack);
  await takeOver(pulumi, stack);
  if (exists) {
    await build(context.root, context.env, 'infra');
    const local = await isLocal(pulumi, stack);
    const code = await destroy(pulumi, options, local);
    if (code !== 0) return code;
    if (!local) return 0; // its settings are worth keeping
  }
  const found = await sweep(stack);
  for (const what of found) say(`Removed what was left: ${what}`);
  const settings = settingsFile(pulumi, stack);
  if (existsSync(settings) && isOfThisMachine(readFileSync(settings, 'utf8'))) rmSync(settings);
  if (!exists && found.length === 0) say(`There is no stack "${stack}", and nothing of it on this machine`);
  return 0;
}

/** The settings of a stack in a cloud are everybody's, and are kept by git. */
export function isOfThisMachine(settings: string): boolean {
  const [, environment = 'local'] = /^\s*flannel:environment:\s*["']?([\w-]+)/m.exec(settings) ?? [];
  return environment === 'local';
}

/** The exit code: 0 when the state is empty, and in the local environment gone. */
async function destroy(pulumi: Pulumi, options: Options, local: boolean): Promise<number> {
  const { stack } = options;
  const attempt = () =>
    pulumi.change(stack, 'destroy', [...confirmation(local, options), ...(local ? ['--remove'] : [])]);
  if (local) await clearPendingOperations(pulumi, stack);
  const code = await attempt();
  if (code === 0) return 0;
  if (!local || code > 128) return code > 128 ? code : 1;
  say(`Removing by name what "${stack}" has on this machine, since its state cannot be followed`);
  for (const what of await sweep(stack)) say(`Removed: ${what}`);
  if ((await attempt()) === 0) return 0;
  throw new ToolError(
    'DESTROY',
    `Nothing of "${stack}" is left on this machine, but its state cannot be emptied: read above why, and then forget it with "npm run pulumi -- stack rm ${stack} --force"`,
  );
}
