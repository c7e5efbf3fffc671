/** Whose environment it is: the branch and the commit, from the CI system or from git. */
import { spawnSync } from 'node:child_process';
import { UsageError } from '../setup/errors.mjs';

export interface Identity {
  readonly branch: string;
  readonly commit: string;
}

/** First what the user says, then GitHub Actions (a pull request's own branch before its merge ref), GitLab, git. */
const BRANCH_VARIABLES = ['GITHUB_HEAD_REF', 'GITHUB_REF_NAME', 'CI_COMMIT_REF_NAME', 'BRANCH_NAME'];
const COMMIT_VARIABLES = ['GITHUB_SHA', 'CI_COMMIT_SHA', 'GIT_COMMIT'];

/** Gives what git answers, or undefined if it does not know. */
export type AskGit = (...args: string[]) => string | undefined;

export function identify(given: Partial<Identity>, env: NodeJS.ProcessEnv, git: AskGit): Identity {
  return {
    branch: given.branch ?? fromEnvironment(BRANCH_VARIABLES, env) ?? branchOf(git) ?? unknown('branch'),
    commit: given.commit ?? fromEnvironment(COMMIT_VARIABLES, env) ?? git('rev-parse', 'HEAD') ?? unknown('commit'),
  };
}

export function gitOf(root: string): AskGit {
  return (...args) => {
    const { status, stdout } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
    return status === 0 && stdout.trim() !== '' ? stdout.trim() : undefined;
  };
}

function branchOf(git: AskGit): string | undefined {
  return git('symbolic-ref', '--quiet', '--short', 'HEAD') ?? (git('rev-parse', 'HEAD') && 'detached');
}

function fromEnvironment(names: readonly string[], env: NodeJS.ProcessEnv): string | undefined {
  return names.map((name) => env[name]).find((value) => value !== undefined && value !== '');
}

function unknown(what: string): never {
  throw new UsageError(`The ${what} is unknown, for neither a CI system nor git says it: use --${what}`);
}
