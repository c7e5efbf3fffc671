import { isErrno } from '@flannel-ts/linux/errors';
import { type RunOutcome, runProgram } from '@flannel-ts/linux/run-program';
import {
  NFT_TIMEOUT_MS,
  type NftOutcome,
  nftEnvironment,
  notFound,
  refused,
  saysNotFound,
  timedOut,
} from './outcome.ts';

export { refused, saysNotFound };

/**
 * nft for a program that has nothing else to do meanwhile and must start quickly. Works in the thread's own network
 * namespace.
 */
export type SyncOutcome = NftOutcome;

/** Runs nft to its end. The exit code is the caller's to judge. */
export function runNftSync(args: readonly string[], input = ''): SyncOutcome {
  let run: RunOutcome;
  try {
    run = runProgram('nft', args, { env: nftEnvironment(), input, timeoutMs: NFT_TIMEOUT_MS });
  } catch (error) {
    throw isErrno(error, 'ENOENT') ? notFound('nft', error) : error;
  }
  if (run.status === null) throw timedOut('nft', run.signal);
  return { code: run.status, stdout: run.stdout, stderr: run.stderr };
}

/** Applies commands in one transaction: all of it or nothing. Equivalent to `nft -f - <<< text`. */
export function applyRulesetSync(text: string): void {
  const outcome = runNftSync(['-f', '-'], text);
  if (outcome.code !== 0) throw refused(outcome);
}
