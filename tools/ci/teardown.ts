/** The end of a CI stack, however it was left. */

import { listLeftovers, sweep } from '@flannel-ts/infra/local/host/sweep';
import type { Stack } from '@pulumi/pulumi/automation';
import { ToolError } from '../setup/errors.mjs';
import { say } from '../setup/progress.mjs';
import { prepareState, stackExists, takeOver } from '../src/pulumi/stack.ts';
import { type Ci, selectStack } from './workspace.ts';

const ATTEMPTS = 3;
/** What Pulumi says of itself where only a failure is of interest. */
export const BRIEFLY = { suppressProgress: true, suppressOutputs: true } as const;

/** Removes the stack and all that it has made, or throws an error that says what is left. */
export async function tearDown(ci: Ci, name: string, environment: string): Promise<void> {
  const local = environment === 'local';
  if (await stackExists(ci.pulumi, name)) {
    for (let attempt = 1; ; attempt++) {
      const failure = await attemptDestroy(ci, name, local).catch((error: Error) => error);
      if (failure === undefined) break;
      if (attempt === ATTEMPTS) {
        throw new ToolError(
          'DESTROY',
          `The stack "${name}" is still there after ${ATTEMPTS} attempts: read above why, then "npm run janitor -- --destroy" once it is expired, or "npm run pulumi -- destroy --remove --stack ${name}"`,
          { cause: failure },
        );
      }
      say(`Removing "${name}" failed (attempt ${attempt} of ${ATTEMPTS})`);
      // By its name, since its state did not lead there.
      if (local) for (const what of await sweep(name)) say(`Removed: ${what}`);
    }
  }
  if (!local) return;
  for (const what of await sweep(name)) say(`Removed what was left: ${what}`);
  const left = listLeftovers(name);
  if (left.length > 0) throw new ToolError('LEFT', `Of the stack "${name}" this is left: ${left.join(', ')}`);
}

async function attemptDestroy(ci: Ci, name: string, local: boolean): Promise<undefined> {
  await takeOver(ci.pulumi, name);
  if (local) await prepareState(ci.pulumi, name);
  const stack = await selectStack(ci, name);
  await destroy(stack);
  return undefined;
}

async function destroy(stack: Stack): Promise<void> {
  const { ConcurrentUpdateError } = await import('@pulumi/pulumi/automation/index.js');
  const options = { remove: true, continueOnError: true, ...BRIEFLY, onOutput: print, onError: print };
  try {
    await stack.destroy(options);
  } catch (error) {
    if (!(error instanceof ConcurrentUpdateError)) throw error;
    // Who holds the lock is on another machine. Its time is over, or this is the run that it belongs to.
    say(`Taking the lock of "${stack.name}" from a run that did not give it back`);
    await stack.cancel();
    await stack.destroy(options);
  }
}

export function print(text: string): void {
  process.stdout.write(text);
}
