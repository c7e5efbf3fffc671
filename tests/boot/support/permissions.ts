/** STAND-IN for IAM: whether statements allow a call. Of conditions it knows StringEquals and StringLike. */
import type { Statement } from '../../../infra/aws/policy.ts';

export interface Attempt {
  /** "s3:GetObject" */
  readonly action: string;
  /** ARN. */
  readonly resource: string;
  /** Condition keys and their values, as the service that is called provides them. */
  readonly context?: Readonly<Record<string, string>>;
}

export function allows(statements: readonly Statement[], attempt: Attempt): boolean {
  const matching = statements.filter((statement) => matches(statement, attempt));
  return matching.length > 0 && matching.every(({ Effect }) => Effect === 'Allow');
}

function matches(
  { Action, Resource, Condition = {} }: Statement,
  { action, resource, context = {} }: Attempt,
): boolean {
  if (!Action.some((pattern) => isLike(action, pattern)) || !Resource.some((arn) => isLike(resource, arn)))
    return false;
  return Object.entries(Condition).every(([operator, keys]) =>
    Object.entries(keys).every(([key, wanted]) => {
      const value = context[key];
      const patterns = typeof wanted === 'string' ? [wanted] : wanted;
      if (operator === 'StringEquals') return value !== undefined && patterns.includes(value);
      if (operator === 'StringLike') return value !== undefined && patterns.some((pattern) => isLike(value, pattern));
      throw new Error(`The stand-in for IAM does not know ${operator}`);
    }),
  );
}

/** `*` is any text and `?` any character. */
function isLike(text: string, pattern: string): boolean {
  const escaped = pattern.replaceAll(/[.+^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`, 's').test(text);
}
