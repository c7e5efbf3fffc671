/**
 * Programs as the kernel reads them: `struct bpf_insn { u8 code; u8 dst:4, src:4; s16 off; s32 imm; }` (linux/bpf.h, RFC 9669). Bytes in
 * the order of x86-64 and arm64. Pure.
 */
import { BpfError } from './errors.ts';
import { HELPERS } from './helpers.ts';
import {
  CONDITIONS,
  type Code,
  type Condition,
  flatten,
  type Instruction,
  type Label,
  OPERATIONS,
  type Operand,
  type Operation,
  REGISTERS,
  type Register,
  type Size,
} from './instruction.ts';

export const INSTRUCTION_BYTES = 8;

// Classes
export const BPF_LD = 0x00;
export const BPF_LDX = 0x01;
export const BPF_ST = 0x02;
export const BPF_STX = 0x03;
export const BPF_ALU = 0x04;
export const BPF_JMP = 0x05;
export const BPF_JMP32 = 0x06;
export const BPF_ALU64 = 0x07;

/** The source is a register, not the number in the instruction. */
export const BPF_X = 0x08;
export const BPF_MEM = 0x60;
export const BPF_ATOMIC = 0xc0;
export const BPF_NEG = 0x80;
export const BPF_END = 0xd0;
export const BPF_JA = 0x00;
export const BPF_CALL = 0x80;
export const BPF_EXIT = 0x90;
/** A number of 64 bits in two instructions; with BPF_PSEUDO_MAP_FD as source, a map by its descriptor. */
export const BPF_LD_IMM64 = 0x18;
export const BPF_PSEUDO_MAP_FD = 1;

export const SIZE_CODES: Readonly<Record<Size, number>> = { u8: 0x10, u16: 0x08, u32: 0x00, u64: 0x18 };

/** In the order of their codes, which are multiples of 16; BPF_NEG (8) is no operation of two operands. */
export const OPERATION_CODES = Object.fromEntries(
  OPERATIONS.map((name, index) => [name, (index < 8 ? index : index + 1) * 16]),
) as Record<Operation, number>;

export const CONDITION_CODES: Readonly<Record<Condition, number>> = {
  eq: 0x10,
  gt: 0x20,
  ge: 0x30,
  set: 0x40,
  ne: 0x50,
  sgt: 0x60,
  sge: 0x70,
  lt: 0xa0,
  le: 0xb0,
  slt: 0xc0,
  sle: 0xd0,
};

export interface EncodedProgram {
  readonly bytes: Uint8Array;
  /** The number of the instruction that a label stands before. */
  readonly labels: ReadonlyMap<string, number>;
}

/** `maps`: descriptors by the names that the program uses. Throws for a label or map that is not there, or there twice. */
export function encode(code: Code, maps: ReadonlyMap<string, number> = new Map()): EncodedProgram {
  const items = flatten(code);
  const labels = placesOf(items);
  const instructions = items.filter((item): item is Instruction => item.kind !== 'label');
  const length = instructions.reduce((sum, instruction) => sum + widthOf(instruction), 0);
  const bytes = new Uint8Array(length * INSTRUCTION_BYTES);
  const view = new DataView(bytes.buffer);
  let place = 0;
  const put = (opcode: number, to: number, from: number, offset: number, immediate: number): void => {
    const start = place++ * INSTRUCTION_BYTES;
    view.setUint8(start, opcode);
    view.setUint8(start + 1, (from << 4) | to);
    view.setInt16(start + 2, offset, true);
    view.setInt32(start + 4, immediate, true);
  };
  const distance = (name: string): number => {
    const target = labels.get(name);
    if (target === undefined) throw invalid(`There is no label ${name}`);
    return checkOffset(target - place - 1);
  };
  for (const instruction of instructions) {
    switch (instruction.kind) {
      case 'alu': {
        const { operation, bits, to, value } = instruction;
        const kind = (bits === 64 ? BPF_ALU64 : BPF_ALU) | OPERATION_CODES[operation];
        put(kind | sourceFlag(value), numberOf(to), sourceOf(value), 0, immediateOf(value));
        break;
      }
      case 'negate':
        put((instruction.bits === 64 ? BPF_ALU64 : BPF_ALU) | BPF_NEG, numberOf(instruction.to), 0, 0, 0);
        break;
      case 'toNetworkOrder':
        put(BPF_ALU | BPF_END | BPF_X, numberOf(instruction.to), 0, 0, instruction.bits);
        break;
      case 'load': {
        const { size, to, from } = instruction;
        put(BPF_LDX | BPF_MEM | SIZE_CODES[size], numberOf(to), numberOf(from.base), checkOffset(from.offset), 0);
        break;
      }
      case 'store': {
        const { size, to, value } = instruction;
        const kind = (isRegister(value) ? BPF_STX : BPF_ST) | BPF_MEM | SIZE_CODES[size];
        put(kind, numberOf(to.base), sourceOf(value), checkOffset(to.offset), immediateOf(value));
        break;
      }
      case 'atomicAdd': {
        const { size, to, value } = instruction;
        put(BPF_STX | BPF_ATOMIC | SIZE_CODES[size], numberOf(to.base), numberOf(value), checkOffset(to.offset), 0);
        break;
      }
      case 'constant': {
        const value = BigInt.asUintN(64, instruction.value);
        put(BPF_LD_IMM64, numberOf(instruction.to), 0, 0, Number(BigInt.asIntN(32, value)));
        put(0, 0, 0, 0, Number(BigInt.asIntN(32, value >> 32n)));
        break;
      }
      case 'map': {
        const fd = maps.get(instruction.map);
        if (fd === undefined) throw invalid(`There is no map ${instruction.map}`);
        put(BPF_LD_IMM64, numberOf(instruction.to), BPF_PSEUDO_MAP_FD, 0, fd);
        put(0, 0, 0, 0, 0);
        break;
      }
      case 'jump':
        put(BPF_JMP | BPF_JA, 0, 0, distance(instruction.label), 0);
        break;
      case 'jumpIf': {
        const { condition, bits, left, right, label } = instruction;
        const kind = (bits === 64 ? BPF_JMP : BPF_JMP32) | CONDITION_CODES[condition] | sourceFlag(right);
        put(kind, numberOf(left), sourceOf(right), distance(label), immediateOf(right));
        break;
      }
      case 'call':
        put(BPF_JMP | BPF_CALL, 0, 0, 0, HELPERS[instruction.helper]);
        break;
      case 'exit':
        put(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    }
  }
  return { bytes, labels };
}

/** Names of the maps that a program uses, each once. */
export function mapsOf(code: Code): string[] {
  return [...new Set(flatten(code).flatMap((item) => (item.kind === 'map' ? [item.map] : [])))];
}

function placesOf(items: readonly (Instruction | Label)[]): Map<string, number> {
  const labels = new Map<string, number>();
  let place = 0;
  for (const item of items) {
    if (item.kind !== 'label') place += widthOf(item);
    else if (labels.has(item.label)) throw invalid(`Label ${item.label} is there twice`);
    else labels.set(item.label, place);
  }
  return labels;
}

function widthOf({ kind }: Instruction): number {
  return kind === 'constant' || kind === 'map' ? 2 : 1;
}

function isRegister(value: Operand): value is Register {
  return typeof value === 'string';
}

function sourceFlag(value: Operand): number {
  return isRegister(value) ? BPF_X : 0;
}

function sourceOf(value: Operand): number {
  return isRegister(value) ? numberOf(value) : 0;
}

function immediateOf(value: Operand): number {
  if (isRegister(value)) return 0;
  if (!Number.isInteger(value) || value < -0x8000_0000 || value > 0xffff_ffff) {
    throw invalid(`${value} does not fit into an instruction`);
  }
  return value | 0;
}

function checkOffset(offset: number): number {
  if (offset < -0x8000 || offset > 0x7fff) throw invalid(`Offset ${offset} does not fit into an instruction`);
  return offset;
}

function numberOf(register: Register): number {
  return REGISTERS.indexOf(register);
}

function invalid(detail: string): BpfError {
  return new BpfError('INVALID', `Cannot encode the program: ${detail}`);
}

/** Names by codes, for disassembly. */
export function inverse<K extends string>(codes: Readonly<Record<K, number>>): ReadonlyMap<number, K> {
  return new Map((Object.entries(codes) as [K, number][]).map(([name, code]) => [code, name]));
}

export const CONDITION_NAMES = inverse(CONDITION_CODES);
export const OPERATION_NAMES = inverse(OPERATION_CODES);
export const SIZE_NAMES = inverse(SIZE_CODES);

// So that a condition without a code does not go unnoticed.
CONDITIONS satisfies readonly (keyof typeof CONDITION_CODES)[];
