/** The 512 bytes of a program's stack, in slots by name. */
import { BpfError } from './errors.ts';
import type { Memory } from './instruction.ts';

export const STACK_BYTES = 512;

/**
 * A place for each name, of so many bytes, at multiples of 8: `stackSlots({ key: 8, header: 28 }).key` is an operand of load() and
 * store(). Throws when they do not fit.
 */
export function stackSlots<K extends string>(sizes: Readonly<Record<K, number>>): Readonly<Record<K, Memory>> {
  const slots = {} as Record<K, Memory>;
  let used = 0;
  for (const [name, bytes] of Object.entries(sizes) as [K, number][]) {
    used += Math.ceil(bytes / 8) * 8;
    slots[name] = { base: 'r10', offset: -used };
  }
  if (used > STACK_BYTES) throw new BpfError('INVALID', `The slots take ${used} bytes, the stack has ${STACK_BYTES}`);
  return slots;
}
