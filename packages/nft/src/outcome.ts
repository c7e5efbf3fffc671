/** What running nft has in common, whether somebody waits for it or not. */
import { NftError } from './errors.ts';

export interface NftOutcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** nft waits for other users of the ruleset; far below any caller's own limit, far above what it needs. */
export const NFT_TIMEOUT_MS = 10_000;

/** Services are often started with a PATH that lacks the directories of system programs. */
const SYSTEM_PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

/** LC_ALL: an absent table is known by the text "No such file or directory". */
export function nftEnvironment(): NodeJS.ProcessEnv {
  return { PATH: [process.env.PATH, SYSTEM_PATH].filter(Boolean).join(':'), LC_ALL: 'C' };
}

/** Whether nft reports that a table, chain or element does not exist; nsenter says the same of a namespace. */
export function saysNotFound(outcome: NftOutcome): boolean {
  return (
    outcome.code !== 0 && outcome.stderr.includes('No such file or directory') && !outcome.stderr.startsWith('nsenter:')
  );
}

export function refused(outcome: NftOutcome, what = 'refused the rules and changed nothing'): NftError {
  const reason = outcome.stderr.trim().split('\n')[0] || 'no reason given';
  return new NftError('NFT_REFUSED', `nft ${what}: ${reason}`);
}

export function notFound(program: string, cause: unknown): NftError {
  const owner = program === 'nft' ? 'nftables' : 'util-linux';
  return new NftError('NFT_NOT_FOUND', `Program ${program} not found: install the package ${owner}`, { cause });
}

export function timedOut(program: string, signal: string | null, cause?: unknown): NftError {
  const message = `${program} was ended by ${signal}: its limit is ${NFT_TIMEOUT_MS / 1000} seconds`;
  return new NftError('NFT_TIMEOUT', message, { cause });
}
