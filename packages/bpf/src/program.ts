/** Programs in the kernel: load, try with packets, close. */
import { errnoName } from '@flannel-ts/linux/errno';
import { closeFd, type Fd } from '@flannel-ts/linux/files';
import { textOf } from '@flannel-ts/linux/memory';
import { Attribute, bpf, failed, tryBpf } from './call.ts';
import { type EncodedProgram, encode, INSTRUCTION_BYTES } from './encode.ts';
import type { Code } from './instruction.ts';
import type { BpfMap } from './map.ts';
import { verifierError } from './verifier-log.ts';

/** linux/bpf.h, enum bpf_prog_type */
export const PROGRAM_TYPES = { 'socket-filter': 1, tc: 3, xdp: 6 } as const;
export type ProgramType = keyof typeof PROGRAM_TYPES;

export interface ProgramSpec {
  readonly type: ProgramType;
  /** Up to 15 bytes: for people, as `bpftool prog` shows it. */
  readonly name: string;
  readonly code: Code;
  /** By the names that the code has for them. */
  readonly maps?: Readonly<Record<string, Pick<BpfMap, 'fd'>>>;
  /** Some helpers are only for programs that are compatible with the GPL. */
  readonly license?: string;
}

export interface TestRun {
  /** What the program returned. */
  readonly result: number;
  /** The packet after it. */
  readonly packet: Uint8Array;
}

export interface TestRunOptions {
  /** The context that the program is given, as `struct __sk_buff`: only some fields may be other than 0. */
  readonly context?: Uint8Array;
  /** How often; the result is that of the last run. */
  readonly repeat?: number;
}

const LOG_BYTES = 1 << 20;
/** A packet may grow. */
const TEST_ROOM = 1024;

/** `bpftool prog load`. Throws a VerifierError that names the place in the source when the verifier rejects it. */
export function loadProgram(spec: ProgramSpec): BpfProgram {
  const { type, name, license = 'GPL' } = spec;
  const maps = new Map(Object.entries(spec.maps ?? {}).map(([key, { fd }]) => [key, fd]));
  const encoded = encode(spec.code, maps);
  const text = new TextEncoder().encode(`${license}\0`);
  const attribute = (log?: Uint8Array): Attribute => {
    const made = new Attribute()
      .u32(0, PROGRAM_TYPES[type])
      .u32(4, encoded.bytes.length / INSTRUCTION_BYTES)
      .pointer(8, encoded.bytes)
      .pointer(16, text)
      .name(48, name);
    return log === undefined ? made : made.u32(24, 1).u32(28, log.length).pointer(32, log);
  };
  // The log costs more than the check itself: it is asked for when there is something to explain.
  let result = tryBpf('PROG_LOAD', attribute());
  if (result < 0) {
    const log = new Uint8Array(LOG_BYTES);
    const first = result;
    result = tryBpf('PROG_LOAD', attribute(log));
    if (result < 0) throw explain(name, encoded, -first, textOf(log));
  }
  return new BpfProgram(result, name);
}

function explain(name: string, encoded: EncodedProgram, number: number, log: string): Error {
  const error = failed('PROG_LOAD', number, `load program ${name}`);
  // A program that is rejected is EINVAL or EACCES, and both have other reasons, too.
  const isVerdict = log.trim() !== '' && ['EINVAL', 'EACCES', 'EPERM'].includes(errnoName(number));
  return isVerdict ? verifierError(name, encoded, log, error.cause) : error;
}

export class BpfProgram {
  #open = true;

  /** The descriptor becomes the program's: close() closes it. */
  constructor(
    readonly fd: Fd,
    readonly name: string,
  ) {}

  /** `bpftool prog run`: with a packet that begins with its link header. */
  test(packet: Uint8Array, { context, repeat = 1 }: TestRunOptions = {}): TestRun {
    const out = new Uint8Array(packet.length + TEST_ROOM);
    const attribute = new Attribute()
      .u32(0, this.fd)
      .u32(8, packet.length)
      .u32(12, out.length)
      .pointer(16, packet)
      .pointer(24, out)
      .u32(32, repeat)
      .u32(40, context?.length ?? 0)
      .pointer(48, context);
    bpf('PROG_TEST_RUN', attribute, `run program ${this.name}`);
    return { result: attribute.read32(4) | 0, packet: out.slice(0, attribute.read32(12)) };
  }

  close(): void {
    if (this.#open) closeFd(this.fd);
    this.#open = false;
  }
}
