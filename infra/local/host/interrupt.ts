/**
 * Ctrl-C reaches Pulumi alone, which lets each operation come to its end and tells nobody who is at one. So that a wait does not go on for
 * its full time, the command that runs Pulumi makes a file when it passes a signal on.
 */
import { existsSync } from 'node:fs';
import { InfraError } from '../../errors.ts';

/** The variable of the environment that names the file. */
export const INTERRUPTED = 'FLANNEL_TS_INTERRUPTED';

/** Throws once somebody has interrupted the command. `what`: what is waited for. */
export function assertNotInterrupted(what: string): void {
  const file = process.env[INTERRUPTED];
  if (file !== undefined && existsSync(file))
    throw new InfraError('INTERRUPTED', `Interrupted while waiting for ${what}`);
}
