import { build } from '../../build/build.mjs';
import { say } from '../../setup/progress.mjs';
import type { Context, Options } from '../context.ts';
import { Pulumi } from '../pulumi/cli.ts';
import {
  clearPendingOperations,
  configure,
  createStack,
  flag,
  readOutputs,
  readSetting,
  stackExists,
  takeOver,
} from '../pulumi/stack.ts';
import { asOutputs } from '../report/outputs.ts';
import { report } from '../report/report.ts';

/** The routes of the last node reach the first one within this time, or something is wrong. */
const PATIENCE_MS = 10_000;

export async function up(context: Context, options: Options): Promise<number> {
  const { stack } = options;
  await build(context.root, context.env);
  const pulumi = new Pulumi(context);
  const exists = await stackExists(pulumi, stack);
  await takeOver(pulumi, stack);
  if (!exists) await createStack(pulumi, stack);
  await configure(pulumi, stack, settingsOf(options));
  const local = await isLocal(pulumi, stack);
  if (exists && local) await clearPendingOperations(pulumi, stack);
  const code = await pulumi.change(stack, 'up', confirmation(local, options));
  if (code !== 0) {
    say(
      `The stack "${stack}" is not complete: "npm run up${flag(stack)}" goes on, "npm run down${flag(stack)}" removes it`,
    );
    return code > 128 ? code : 1;
  }
  const outputs = asOutputs(await readOutputs(pulumi, stack));
  if (outputs === undefined || !local) return 0;
  return (await report(stack, outputs, PATIENCE_MS)) ? 0 : 1;
}

export async function isLocal(pulumi: Pulumi, stack: string): Promise<boolean> {
  return ((await readSetting(pulumi, stack, 'environment')) ?? 'local') === 'local';
}

/**
 * Namespaces are made without a question; what costs money is asked about, unless the user has said yes. Even then the
 * preview comes first: only it refuses to remove what is protected before anything else is gone.
 */
export function confirmation(local: boolean, { yes }: Pick<Options, 'yes'>): string[] {
  if (local) return ['--yes', '--skip-preview'];
  return yes ? ['--yes'] : [];
}

function settingsOf({ nodes, pods, config }: Options): Record<string, string> {
  return {
    ...config,
    ...(nodes === undefined ? {} : { nodes: String(nodes) }),
    ...(pods === undefined ? {} : { podsPerNode: String(pods) }),
  };
}
