/** What a CI stack is called, and how it is told from the others. Pure. */
import { createHash } from 'node:crypto';

export interface Origin {
  /** As git names it: `feature/some-thing`. */
  readonly branch: string;
  readonly commit: string;
  readonly environment: string;
}

const PREFIX = 'ci-';
const HASH_LENGTH = 8;
/** What the rule for stack names leaves: 30 characters in all. */
const SLUG_LENGTH = 30 - PREFIX.length - HASH_LENGTH - 1;
const CI_STACK = /^ci-(?:[a-z0-9]+-)+[0-9a-f]{8}$/;

/**
 * The same origin has the same name, so that a run that is repeated finds what the first one left. The part of the branch
 * is for people; the hash tells apart what is cut or written alike.
 */
export function ciStackName({ branch, commit, environment }: Origin): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([branch, commit, environment]))
    .digest('hex');
  return `${PREFIX}${slug(branch)}-${hash.slice(0, HASH_LENGTH)}`;
}

export function isCiStack(name: string): boolean {
  return CI_STACK.test(name);
}

/** Letters, digits and single dashes, none at either end; never empty. */
function slug(text: string): string {
  const dashed = text
    .toLowerCase()
    .replace(/^refs\/heads\//, '')
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replace(/^-/, '')
    .slice(0, SLUG_LENGTH)
    .replace(/-$/, '');
  return dashed === '' ? 'branch' : dashed;
}
