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
 * nft for a program that has nothing else to do meanwhile and must start quickly: child processes are loaded when the
 * first one is needed, and there is no event loop in between. Works in the thread's own network namespace.
 */
export type SyncOutcome = NftOutcome;

/** Runs nft to its end. The exit code is the caller's to judge. */
export function runNftSync(args: readonly string[], input = ''): SyncOutcome {
  const { spawnSync } = process.getBuiltinModule('node:child_process');
  const run = spawnSync('nft', args, {
    env: nftEnvironment(),
    input,
    timeout: NFT_TIMEOUT_MS,
    killSignal: 'SIGKILL',
    encoding: 'utf8',
  });
  if (run.status !== null) return { code: run.status, stdout: run.stdout, stderr: run.stderr };
  if ((run.error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') throw notFound('nft', run.error);
  throw timedOut('nft', run.signal, run.error);
}

/** Applies commands in one transaction: all of it or nothing. Equivalent to `nft -f - <<< text`. */
export function applyRulesetSync(text: string): void {
  const outcome = runNftSync(['-f', '-'], text);
  if (outcome.code !== 0) throw refused(outcome);
}
