/** The words that programs are written in. Each returns a value; nothing is collected anywhere. */
import type { HelperName } from './helpers.ts';
import type { Code, Condition, Instruction, Label, Memory, Operand, Operation, Register, Size } from './instruction.ts';
import { SIZE_BYTES } from './instruction.ts';

const alu =
  (operation: Operation, bits: 32 | 64) =>
  (to: Register, value: Operand): Instruction => ({ kind: 'alu', operation, bits, to, value });

export const mov = alu('mov', 64);
export const add = alu('add', 64);
export const sub = alu('sub', 64);
export const mul = alu('mul', 64);
/** Unsigned; a division by 0 gives 0. */
export const div = alu('div', 64);
export const mod = alu('mod', 64);
export const or = alu('or', 64);
export const and = alu('and', 64);
export const xor = alu('xor', 64);
export const lsh = alu('lsh', 64);
export const rsh = alu('rsh', 64);
export const arsh = alu('arsh', 64);

// Of the lower half; the upper one becomes 0.
export const mov32 = alu('mov', 32);
export const add32 = alu('add', 32);
export const sub32 = alu('sub', 32);
export const mul32 = alu('mul', 32);
export const or32 = alu('or', 32);
export const and32 = alu('and', 32);
export const xor32 = alu('xor', 32);
export const lsh32 = alu('lsh', 32);
export const rsh32 = alu('rsh', 32);

export function negate(to: Register): Instruction {
  return { kind: 'negate', bits: 64, to };
}

/** htons(), htonl() and the like, and their inverses. */
export function networkOrder(to: Register, bits: 16 | 32 | 64): Instruction {
  return { kind: 'toNetworkOrder', bits, to };
}

/** The byte at `offset` from what a register points to. */
export function at(base: Register, offset = 0): Memory {
  return { base, offset };
}

/** `bytes` further on. */
export function after({ base, offset }: Memory, bytes: number): Memory {
  return { base, offset: offset + bytes };
}

export function load(size: Size, to: Register, from: Memory): Instruction {
  return { kind: 'load', size, to, from };
}

export function store(size: Size, to: Memory, value: Operand): Instruction {
  return { kind: 'store', size, to, value };
}

/** Adds a register to memory that other processors change, too. */
export function atomicAdd(size: 'u32' | 'u64', to: Memory, value: Register): Instruction {
  return { kind: 'atomicAdd', size, to, value };
}

/** A number of 64 bits. */
export function constant(to: Register, value: bigint): Instruction {
  return { kind: 'constant', to, value };
}

/** A pointer to a map, by the name under which it is given when the program is loaded. */
export function mapPointer(to: Register, map: string): Instruction {
  return { kind: 'map', to, map };
}

/** The address itself, as an argument. */
export function pointerTo(to: Register, { base, offset }: Memory): Code {
  return offset === 0 ? mov(to, base) : [mov(to, base), add(to, offset)];
}

export function jump(label: string): Instruction {
  return { kind: 'jump', label };
}

export function jumpIf(left: Register, condition: Condition, right: Operand, label: string): Instruction {
  return { kind: 'jumpIf', condition, bits: 64, left, right, label };
}

/** Compares the lower halves. */
export function jumpIf32(left: Register, condition: Condition, right: Operand, label: string): Instruction {
  return { kind: 'jumpIf', condition, bits: 32, left, right, label };
}

export function label(name: string): Label {
  return { kind: 'label', label: name };
}

/** Arguments in r1 to r5, which are lost; the result in r0. */
export function call(helper: HelperName): Instruction {
  return { kind: 'call', helper };
}

export function exit(): Instruction {
  return { kind: 'exit' };
}

/** Ends the program with this result. */
export function returns(value: Operand): Code {
  return value === 'r0' ? exit() : [mov('r0', value), exit()];
}

/** Sets `bytes` bytes, a multiple of 4, to 0. */
export function clear(to: Memory, bytes: number): Code {
  const stores: Code[] = [];
  for (let done = 0; done < bytes; ) {
    const size = bytes - done >= 8 && (to.offset + done) % 8 === 0 ? 'u64' : 'u32';
    stores.push(store(size, after(to, done), 0));
    done += SIZE_BYTES[size];
  }
  return stores;
}
