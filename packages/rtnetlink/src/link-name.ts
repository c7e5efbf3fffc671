import { IFNAMSIZ } from './constants.ts';
import { NetlinkError } from './errors.ts';

/**
 * What dev_valid_name() of net/core/dev.c refuses, and `%`, which the kernel takes as a template (`veth%d`) so that the
 * link could not be found afterwards by the name that was asked for. For a long name the kernel says only "Numerical
 * result out of range".
 */
export function checkLinkName(name: string, operation: string): void {
  const problem = linkNameProblem(name);
  if (problem) throw new NetlinkError('EINVAL', operation, `link name ${JSON.stringify(name)} ${problem}`);
}

function linkNameProblem(name: string): string | undefined {
  if (name === '') return 'is empty';
  if (new TextEncoder().encode(name).length >= IFNAMSIZ) return `is longer than ${IFNAMSIZ - 1} bytes`;
  if (name === '.' || name === '..') return 'is reserved';
  if (/[/:%\s\0]/.test(name)) return 'contains one of / : % or white space';
  return undefined;
}
