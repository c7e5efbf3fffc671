/**
 * Instructions of eBPF as values (RFC 9669). A program is a list of them with labels in between; functions that return lists compose,
 * because lists may be nested. Nothing here knows encodings: encode.ts does.
 */
import type { HelperName } from './helpers.ts';

export const REGISTERS = ['r0', 'r1', 'r2', 'r3', 'r4', 'r5', 'r6', 'r7', 'r8', 'r9', 'r10'] as const;
/** r0: result; r1 to r5: arguments, lost by a call; r6 to r9: kept; r10: the end of the stack, read only. */
export type Register = (typeof REGISTERS)[number];

/** A register, or a number that fits into 32 bits (sign-extended in 64-bit operations). */
export type Operand = Register | number;

export type Size = 'u8' | 'u16' | 'u32' | 'u64';

export const SIZE_BYTES: Readonly<Record<Size, number>> = { u8: 1, u16: 2, u32: 4, u64: 8 };

export const OPERATIONS = ['add', 'sub', 'mul', 'div', 'or', 'and', 'lsh', 'rsh', 'mod', 'xor', 'mov', 'arsh'] as const;
export type Operation = (typeof OPERATIONS)[number];

/** Unsigned, but for those that begin with `s`. `set`: any bit in common. */
export const CONDITIONS = ['eq', 'ne', 'gt', 'ge', 'lt', 'le', 'set', 'sgt', 'sge', 'slt', 'sle'] as const;
export type Condition = (typeof CONDITIONS)[number];

/** A place in memory: of the context, a packet, a map's value or the stack. */
export interface Memory {
  readonly base: Register;
  readonly offset: number;
}

export type Instruction =
  | {
      readonly kind: 'alu';
      readonly operation: Operation;
      readonly bits: 32 | 64;
      readonly to: Register;
      readonly value: Operand;
    }
  | { readonly kind: 'negate'; readonly bits: 32 | 64; readonly to: Register }
  /** From the machine's byte order into that of networks, or back; the rest of the register becomes 0. */
  | { readonly kind: 'toNetworkOrder'; readonly bits: 16 | 32 | 64; readonly to: Register }
  | { readonly kind: 'load'; readonly size: Size; readonly to: Register; readonly from: Memory }
  | { readonly kind: 'store'; readonly size: Size; readonly to: Memory; readonly value: Operand }
  | { readonly kind: 'atomicAdd'; readonly size: 'u32' | 'u64'; readonly to: Memory; readonly value: Register }
  | { readonly kind: 'constant'; readonly to: Register; readonly value: bigint }
  | { readonly kind: 'map'; readonly to: Register; readonly map: string }
  | { readonly kind: 'jump'; readonly label: string }
  | {
      readonly kind: 'jumpIf';
      readonly condition: Condition;
      readonly bits: 32 | 64;
      readonly left: Register;
      readonly right: Operand;
      readonly label: string;
    }
  | { readonly kind: 'call'; readonly helper: HelperName }
  | { readonly kind: 'exit' };

/** A place that jumps lead to. */
export interface Label {
  readonly kind: 'label';
  readonly label: string;
}

export type Code = Instruction | Label | readonly Code[];

export function flatten(code: Code): (Instruction | Label)[] {
  return 'kind' in code ? [code] : code.flatMap(flatten);
}
