/** Instructions as text, in the words of the kernel's verifier and of bpftool. Pure. */
import {
  BPF_ALU,
  BPF_ALU64,
  BPF_ATOMIC,
  BPF_CALL,
  BPF_END,
  BPF_EXIT,
  BPF_JA,
  BPF_JMP,
  BPF_JMP32,
  BPF_LD_IMM64,
  BPF_LDX,
  BPF_MEM,
  BPF_NEG,
  BPF_PSEUDO_MAP_FD,
  BPF_ST,
  BPF_STX,
  BPF_X,
  CONDITION_NAMES,
  INSTRUCTION_BYTES,
  OPERATION_NAMES,
  SIZE_NAMES,
} from './encode.ts';
import { helperName } from './helpers.ts';
import { type Condition, type Operation, SIZE_BYTES } from './instruction.ts';

export interface Disassembled {
  /** Its number; a constant of 64 bits takes two. */
  readonly place: number;
  readonly text: string;
}

const SIGNS: Readonly<Record<Operation, string>> = {
  add: '+=',
  sub: '-=',
  mul: '*=',
  div: '/=',
  or: '|=',
  and: '&=',
  lsh: '<<=',
  rsh: '>>=',
  mod: '%=',
  xor: '^=',
  mov: '=',
  arsh: 's>>=',
};

const COMPARISONS: Readonly<Record<Condition, string>> = {
  eq: '==',
  ne: '!=',
  gt: '>',
  ge: '>=',
  lt: '<',
  le: '<=',
  set: '&',
  sgt: 's>',
  sge: 's>=',
  slt: 's<',
  sle: 's<=',
};

interface Raw {
  readonly opcode: number;
  readonly to: number;
  readonly from: number;
  readonly offset: number;
  readonly immediate: number;
}

export function disassemble(bytes: Uint8Array): Disassembled[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const lines: Disassembled[] = [];
  for (let place = 0; place < Math.floor(bytes.length / INSTRUCTION_BYTES); place++) {
    const raw = readRaw(view, place);
    if (raw.opcode !== BPF_LD_IMM64) {
      lines.push({ place, text: textOf(raw) });
      continue;
    }
    const isLast = (place + 2) * INSTRUCTION_BYTES > bytes.length;
    const high = isLast ? 0 : readRaw(view, place + 1).immediate;
    lines.push({ place, text: constantText(raw, high) });
    place++;
  }
  return lines;
}

function readRaw(view: DataView, place: number): Raw {
  const start = place * INSTRUCTION_BYTES;
  const registers = view.getUint8(start + 1);
  return {
    opcode: view.getUint8(start),
    to: registers & 15,
    from: registers >> 4,
    offset: view.getInt16(start + 2, true),
    immediate: view.getInt32(start + 4, true),
  };
}

function constantText({ to, from, immediate }: Raw, high: number): string {
  if (from === BPF_PSEUDO_MAP_FD) return `r${to} = map[fd:${immediate}]`;
  const value = (BigInt(high >>> 0) << 32n) | BigInt(immediate >>> 0);
  return `r${to} = 0x${value.toString(16)} ll`;
}

function textOf(raw: Raw): string {
  switch (raw.opcode & 7) {
    case BPF_ALU:
    case BPF_ALU64:
      return aluText(raw);
    case BPF_JMP:
    case BPF_JMP32:
      return jumpText(raw);
    case BPF_LDX:
    case BPF_ST:
    case BPF_STX:
      return memoryText(raw);
    default:
      return unknown(raw);
  }
}

function aluText(raw: Raw): string {
  const { opcode, to, from, immediate } = raw;
  const letter = (opcode & 7) === BPF_ALU64 ? 'r' : 'w';
  const kind = opcode & 0xf0;
  if (kind === BPF_END) return `r${to} = ${(opcode & BPF_X) === 0 ? 'le' : 'be'}${immediate} r${to}`;
  if (kind === BPF_NEG) return `${letter}${to} = -${letter}${to}`;
  const operation = OPERATION_NAMES.get(kind);
  if (operation === undefined) return unknown(raw);
  const value = (opcode & BPF_X) === 0 ? immediate : `${letter}${from}`;
  return `${letter}${to} ${SIGNS[operation]} ${value}`;
}

function jumpText(raw: Raw): string {
  const { opcode, to, from, offset, immediate } = raw;
  const wide = (opcode & 7) === BPF_JMP;
  const kind = opcode & 0xf0;
  const target = `goto ${offset < 0 ? '' : '+'}${offset}`;
  if (wide && kind === BPF_JA) return target;
  if (wide && kind === BPF_EXIT) return 'exit';
  if (wide && kind === BPF_CALL) {
    const name = helperName(immediate);
    return `call ${name === undefined ? 'unknown' : `bpf_${name}`}#${immediate}`;
  }
  const condition = CONDITION_NAMES.get(kind);
  if (condition === undefined) return unknown(raw);
  const letter = wide ? 'r' : 'w';
  const right = (opcode & BPF_X) === 0 ? immediate : `${letter}${from}`;
  return `if ${letter}${to} ${COMPARISONS[condition]} ${right} ${target}`;
}

function memoryText(raw: Raw): string {
  const { opcode, to, from, offset, immediate } = raw;
  const size = SIZE_NAMES.get(opcode & 0x18);
  const mode = opcode & 0xe0;
  if (size === undefined) return unknown(raw);
  const place = (register: number) => {
    const sign = offset < 0 ? '-' : '+';
    return `*(u${SIZE_BYTES[size] * 8} *)(r${register} ${sign}${Math.abs(offset)})`;
  };
  const kind = opcode & 7;
  if (kind === BPF_LDX && mode === BPF_MEM) return `r${to} = ${place(from)}`;
  if (kind === BPF_ST && mode === BPF_MEM) return `${place(to)} = ${immediate}`;
  if (kind === BPF_STX && mode === BPF_MEM) return `${place(to)} = r${from}`;
  if (kind === BPF_STX && mode === BPF_ATOMIC && immediate === 0) return `lock ${place(to)} += r${from}`;
  return unknown(raw);
}

function unknown({ opcode }: Raw): string {
  return `unknown instruction 0x${opcode.toString(16)}`;
}
