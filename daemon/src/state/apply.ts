/** Carries out changes, one after the other as far as one needs another. */
import { messageOf } from '../errors.ts';
import { type Change, deviceOf } from './change.ts';

export interface ChangingKernel {
  /** In this order, each whether or not those before it succeeded; for each the error, or undefined. */
  apply(changes: readonly Change[]): unknown[];
}

export interface Applied {
  readonly done: readonly Change[];
  readonly failures: readonly string[];
}

/** What one failed change makes impossible is left out; the others may still succeed, and this one at the next pass. */
export function applyChanges(kernel: ChangingKernel, changes: readonly Change[]): Applied {
  const done: Change[] = [];
  const failures: string[] = [];
  const missing = new Set<string>();
  let rest = changes;
  while (rest.length > 0) {
    const end = rest.findIndex(makesLink);
    const together = rest.slice(0, end === -1 ? rest.length : end + 1);
    rest = rest.slice(together.length);
    const possible = together.filter((change) => !missing.has(deviceOf(change) ?? ''));
    for (const [at, error] of kernel.apply(possible).entries()) {
      const change = possible[at]!;
      if (error === undefined) done.push(change);
      else {
        failures.push(messageOf(error));
        if (makesLink(change)) missing.add(deviceOf(change)!);
      }
    }
  }
  return { done, failures };
}

function makesLink({ type }: Change): boolean {
  return type === 'add-link' || type === 'remake-link';
}
