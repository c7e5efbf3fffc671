/** The tags of everything in a stack: who made it, and until when it is wanted. */
import * as pulumi from '@pulumi/pulumi';

/** The stack, as `stackId` has it. The janitor of CI and the instance roles find what belongs together by it. */
export const STACK_TAG = 'flannel:stack';
export const ROLE_TAG = 'flannel:role';
/** When the stack may be destroyed, as an ISO time. */
export const TTL_TAG = 'flannel:ttl';

export type Tags = Readonly<Record<string, pulumi.Input<string>>>;

/** Unlike its name alone, the only one in an account: two programs may both have a stack "dev". */
export function stackId(): string {
  return `${pulumi.getProject()}/${pulumi.getStack()}`;
}

/**
 * The same at every `up`: the time is taken once and kept in the state. Another ttlHours begins anew.
 */
export function stackTags(stack: string, ttlHours: number, now: () => number = Date.now): Tags {
  const tags = { [STACK_TAG]: stack };
  if (ttlHours === 0) return tags;
  const expiry = new Date(now() + ttlHours * 3_600_000).toISOString();
  const kept = new pulumi.Stash(`expires-${ttlHours}h`, { input: expiry }, { ignoreChanges: ['input'] });
  return { ...tags, [TTL_TAG]: kept.output.apply(String) };
}

/** Of one resource, beside those of the stack. */
export function named(name: string, role?: string): Record<string, string> {
  return { Name: `${pulumi.getStack()}-${name}`, ...(role !== undefined && { [ROLE_TAG]: role }) };
}
