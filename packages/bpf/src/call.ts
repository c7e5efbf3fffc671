/** bpf(2) itself: a command, and `union bpf_attr` written field by field. */
import { errnoName } from '@flannel-ts/linux/errno';
import { SystemError } from '@flannel-ts/linux/errors';
import { errno, libc } from '@flannel-ts/linux/ffi/libc';
import { addressOf } from '@flannel-ts/linux/memory';
import { BpfError, type BpfErrorCode } from './errors.ts';

/** asm/unistd.h */
const SYS_BPF = process.arch === 'arm64' ? 280 : 321;

/** linux/bpf.h, enum bpf_cmd */
export const COMMAND = {
  MAP_CREATE: 0,
  MAP_LOOKUP_ELEM: 1,
  MAP_UPDATE_ELEM: 2,
  MAP_DELETE_ELEM: 3,
  MAP_GET_NEXT_KEY: 4,
  PROG_LOAD: 5,
  OBJ_PIN: 6,
  OBJ_GET: 7,
  PROG_ATTACH: 8,
  PROG_DETACH: 9,
  PROG_TEST_RUN: 10,
  PROG_GET_NEXT_ID: 11,
  MAP_GET_NEXT_ID: 12,
  PROG_GET_FD_BY_ID: 13,
  MAP_GET_FD_BY_ID: 14,
  OBJ_GET_INFO_BY_FD: 15,
  PROG_QUERY: 16,
  MAP_LOOKUP_BATCH: 24,
  MAP_UPDATE_BATCH: 26,
  MAP_DELETE_BATCH: 27,
  LINK_CREATE: 28,
  LINK_UPDATE: 29,
  LINK_GET_FD_BY_ID: 30,
  LINK_GET_NEXT_ID: 31,
  LINK_DETACH: 34,
} as const;
export type Command = keyof typeof COMMAND;

/** More than any command uses here; kernels accept what is longer than they know as long as it is 0. */
const ATTRIBUTE_BYTES = 80;

/** `union bpf_attr`. Views that it points to stay referenced as long as it does. */
export class Attribute {
  readonly bytes = new Uint8Array(ATTRIBUTE_BYTES);
  readonly #view = new DataView(this.bytes.buffer);
  readonly #referenced: Uint8Array[] = [];

  u32(offset: number, value: number): this {
    this.#view.setUint32(offset, value, true);
    return this;
  }

  u64(offset: number, value: bigint): this {
    this.#view.setBigUint64(offset, value, true);
    return this;
  }

  /** A pointer; an empty view is a null pointer. */
  pointer(offset: number, view: Uint8Array | undefined): this {
    if (view === undefined || view.length === 0) return this;
    this.#referenced.push(view);
    return this.u64(offset, BigInt(addressOf(view)));
  }

  /** BPF_OBJ_NAME_LEN is 16 with the NUL; names have letters, digits, `_` and `.`. */
  name(offset: number, name: string): this {
    this.bytes.set(new TextEncoder().encode(name.replace(/[^\w.]/g, '_')).subarray(0, 15), offset);
    return this;
  }

  read32(offset: number): number {
    return this.#view.getUint32(offset, true);
  }
}

/** The result, or a negative errno. */
export function tryBpf(command: Command, attribute: Attribute): number {
  const result = libc.bpf(SYS_BPF, COMMAND[command], attribute.bytes, attribute.bytes.length);
  return result < 0 ? -errno() : result;
}

/** The result, or a BpfError that says what was attempted. */
export function bpf(command: Command, attribute: Attribute, attempt: string): number {
  const result = tryBpf(command, attribute);
  if (result < 0) throw failed(command, -result, attempt);
  return result;
}

const CODES: Readonly<Record<string, BpfErrorCode>> = {
  EPERM: 'NOT_PERMITTED',
  EACCES: 'NOT_PERMITTED',
  ENOSYS: 'NOT_SUPPORTED',
  EOPNOTSUPP: 'NOT_SUPPORTED',
  ENOTSUPP: 'NOT_SUPPORTED',
  E2BIG: 'NOT_SUPPORTED', // fields that this kernel does not know; of a hash, that it is full
  ENOSPC: 'FULL',
};

export function failed(command: Command, number: number, attempt: string): BpfError {
  const cause = new SystemError(`bpf(${command})`, number, attempt);
  const name = errnoName(number);
  const full = name === 'E2BIG' && command.startsWith('MAP_UPDATE');
  return new BpfError(full ? 'FULL' : (CODES[name] ?? 'FAILED'), cause.message, { cause });
}
