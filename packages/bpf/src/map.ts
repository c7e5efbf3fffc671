/** Maps: what programs and this process share. Keys and values are bytes, in the byte order that the program uses. */
import { errnoName } from '@flannel-ts/linux/errno';
import { closeFd, type Fd } from '@flannel-ts/linux/files';
import { Attribute, bpf, type Command, failed, tryBpf } from './call.ts';
import { possibleCpus } from './cpus.ts';
import { BpfError } from './errors.ts';

/** linux/bpf.h, enum bpf_map_type */
export const MAP_TYPES = {
  hash: 1,
  array: 2,
  'per-cpu-hash': 5,
  'per-cpu-array': 6,
  'lru-hash': 9,
  'lru-per-cpu-hash': 10,
  'lpm-trie': 11,
  'dev-map': 14,
  queue: 22,
  'ring-buffer': 27,
} as const;
export type MapType = keyof typeof MAP_TYPES;

const BPF_F_NO_PREALLOC = 1;

export interface MapSpec {
  readonly type: MapType;
  /** Up to 15 bytes: for people, as `bpftool map` shows it. */
  readonly name: string;
  readonly keyBytes: number;
  /** For each processor, where the map is per CPU. */
  readonly valueBytes: number;
  readonly maxEntries: number;
  /** Memory for all entries from the start (hashes only; default true). LPM tries never have it. */
  readonly preallocated?: boolean;
}

/** `new`: fails with EEXIST where there is one; `existing`: with ENOENT where there is none. */
export type UpdateMode = 'any' | 'new' | 'existing';
const MODES: Readonly<Record<UpdateMode, number>> = { any: 0, new: 1, existing: 2 };

export type MapEntry = readonly [key: Uint8Array, value: Uint8Array];

/** Entries of one call of a batch. */
const BATCH = 4096;

/** `bpftool map create`. */
export function createMap(spec: MapSpec): BpfMap {
  const { type, name, keyBytes, valueBytes, maxEntries, preallocated = true } = spec;
  const attribute = new Attribute()
    .u32(0, MAP_TYPES[type])
    .u32(4, keyBytes)
    .u32(8, valueBytes)
    .u32(12, maxEntries)
    .u32(16, type === 'lpm-trie' || !preallocated ? BPF_F_NO_PREALLOC : 0)
    .name(28, name);
  return new BpfMap(bpf('MAP_CREATE', attribute, `create ${type} map ${name}`), spec);
}

export class BpfMap {
  #open = true;
  /** Of all processors together. */
  readonly #valueBytes: number;
  readonly #isPerCpu: boolean;

  /** The descriptor becomes the map's: close() closes it. */
  constructor(
    readonly fd: Fd,
    readonly spec: MapSpec,
  ) {
    this.#isPerCpu = spec.type.includes('per-cpu');
    this.#valueBytes = this.#isPerCpu ? perCpuStride(spec.valueBytes) * possibleCpus() : spec.valueBytes;
  }

  /** Undefined when there is none. Of a per-CPU map the values of all processors, one after the other at multiples of 8. */
  lookup(key: Uint8Array): Uint8Array | undefined {
    const value = new Uint8Array(this.#valueBytes);
    const result = tryBpf('MAP_LOOKUP_ELEM', this.#element(key, value));
    if (result >= 0) return value;
    if (errnoName(-result) === 'ENOENT') return undefined;
    throw this.#failed('MAP_LOOKUP_ELEM', -result, 'look up an entry');
  }

  /** The values of a per-CPU map by processor. */
  lookupPerCpu(key: Uint8Array): Uint8Array[] | undefined {
    const value = this.lookup(key);
    return value === undefined ? undefined : splitPerCpu(value, this.spec.valueBytes);
  }

  /** A value of a per-CPU map may be that of one processor: it is then set for all of them. */
  update(key: Uint8Array, value: Uint8Array, mode: UpdateMode = 'any'): void {
    const whole = this.#whole(value);
    const result = tryBpf('MAP_UPDATE_ELEM', this.#element(key, whole).u64(24, BigInt(MODES[mode])));
    if (result < 0) throw this.#failed('MAP_UPDATE_ELEM', -result, 'set an entry');
  }

  /** False when there was none. */
  delete(key: Uint8Array): boolean {
    const result = tryBpf('MAP_DELETE_ELEM', this.#element(key, undefined));
    if (result >= 0) return true;
    if (errnoName(-result) === 'ENOENT') return false;
    throw this.#failed('MAP_DELETE_ELEM', -result, 'delete an entry');
  }

  /** While others change the map a key may be missed, or come twice. */
  *keys(): Generator<Uint8Array> {
    let before: Uint8Array | undefined;
    for (;;) {
      const key = new Uint8Array(this.spec.keyBytes);
      const attribute = new Attribute().u32(0, this.fd).pointer(8, before).pointer(16, key);
      const result = tryBpf('MAP_GET_NEXT_KEY', attribute);
      if (result < 0 && errnoName(-result) === 'ENOENT') return;
      if (result < 0) throw this.#failed('MAP_GET_NEXT_KEY', -result, 'list the keys');
      yield key;
      before = key;
    }
  }

  /** All entries, many in one call where the kernel can. */
  entries(): MapEntry[] {
    return this.#entriesByBatch() ?? this.#entriesOneByOne();
  }

  /** Many entries in one call, where the kernel can (5.6; LPM tries 5.17). Those before one that fails are set. */
  updateAll(entries: readonly MapEntry[]): void {
    this.#inBatches(
      'MAP_UPDATE_BATCH',
      entries.length,
      (first, count, attribute) => {
        const some = entries.slice(first, first + count);
        attribute.pointer(16, concat(some.map(([key]) => this.#checkedKey(key))));
        attribute.pointer(24, concat(some.map(([, value]) => this.#whole(value))));
      },
      (index) => this.update(...entries[index]!),
    );
  }

  /** Keys that are not there are passed over. */
  deleteAll(keys: readonly Uint8Array[]): void {
    for (const key of keys) this.delete(key);
  }

  close(): void {
    if (this.#open) closeFd(this.fd);
    this.#open = false;
  }

  #entriesByBatch(): MapEntry[] | undefined {
    const { keyBytes, maxEntries } = this.spec;
    const count = Math.min(BATCH, maxEntries);
    const keys = new Uint8Array(count * keyBytes);
    const values = new Uint8Array(count * this.#valueBytes);
    const found: MapEntry[] = [];
    // The cursor: a key of an LPM trie, a number of a hash.
    let cursor: Uint8Array | undefined;
    for (;;) {
      const next = new Uint8Array(Math.max(keyBytes, 8));
      const attribute = new Attribute().pointer(0, cursor).pointer(8, next).pointer(16, keys).pointer(24, values);
      attribute.u32(32, count).u32(36, this.fd);
      const result = tryBpf('MAP_LOOKUP_BATCH', attribute);
      const name = result < 0 ? errnoName(-result) : '';
      // ENOSPC: a bucket of the hash has more than fits; nothing of it was read.
      if (result < 0 && name !== 'ENOENT') return undefined;
      const got = attribute.read32(32);
      for (let i = 0; i < got; i++) {
        const at = i * this.#valueBytes;
        found.push([keys.slice(i * keyBytes, (i + 1) * keyBytes), values.slice(at, at + this.#valueBytes)]);
      }
      if (result < 0) return found;
      cursor = next;
    }
  }

  #entriesOneByOne(): MapEntry[] {
    return [...this.keys()].flatMap((key): MapEntry[] => {
      const value = this.lookup(key);
      return value === undefined ? [] : [[key, value]];
    });
  }

  #inBatches(
    command: Command,
    total: number,
    fill: (first: number, count: number, attribute: Attribute) => void,
    one: (index: number) => void,
  ): void {
    for (let first = 0; first < total; first += BATCH) {
      const count = Math.min(BATCH, total - first);
      const attribute = new Attribute().u32(32, count).u32(36, this.fd);
      fill(first, count, attribute);
      const result = tryBpf(command, attribute);
      if (result >= 0) continue;
      // Not all maps have batches, and a failed one does not always say how far it came: one by one gives the same in the end.
      for (let index = first; index < first + count; index++) one(index);
    }
  }

  #element(key: Uint8Array, value: Uint8Array | undefined): Attribute {
    return new Attribute().u32(0, this.fd).pointer(8, this.#checkedKey(key)).pointer(16, value);
  }

  #checkedKey(key: Uint8Array): Uint8Array {
    if (key.length === this.spec.keyBytes) return key;
    throw this.#wrong(`a key has ${this.spec.keyBytes} bytes, not ${key.length}`);
  }

  #whole(value: Uint8Array): Uint8Array {
    if (value.length === this.#valueBytes) return value;
    if (!this.#isPerCpu || value.length !== this.spec.valueBytes) {
      throw this.#wrong(`a value has ${this.spec.valueBytes} bytes, not ${value.length}`);
    }
    const whole = new Uint8Array(this.#valueBytes);
    for (let at = 0; at < whole.length; at += perCpuStride(value.length)) whole.set(value, at);
    return whole;
  }

  #wrong(detail: string): BpfError {
    return new BpfError('INVALID', `Cannot use map ${this.spec.name}: ${detail}`);
  }

  #failed(command: Command, number: number, attempt: string): BpfError {
    return failed(command, number, `${attempt} of map ${this.spec.name}`);
  }
}

/** The key of an LPM trie: `struct bpf_lpm_trie_key { u32 prefixlen; u8 data[]; }`. */
export function lpmKey(length: number, address: Uint8Array): Uint8Array {
  const key = new Uint8Array(4 + address.length);
  new DataView(key.buffer).setUint32(0, length, true);
  key.set(address, 4);
  return key;
}

/** The key of an array. */
export function indexKey(index: number): Uint8Array {
  const key = new Uint8Array(4);
  new DataView(key.buffer).setUint32(0, index, true);
  return key;
}

export function splitPerCpu(value: Uint8Array, bytes: number): Uint8Array[] {
  const stride = perCpuStride(bytes);
  return Array.from({ length: value.length / stride }, (_, cpu) => value.subarray(cpu * stride, cpu * stride + bytes));
}

/** Adds up values of a per-CPU map that consist of numbers of 64 bits. Exact up to 2^53. */
export function sumPerCpu(value: Uint8Array, bytes: number): number[] {
  const words = bytes / 8;
  const sums = new Array<number>(words).fill(0);
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  for (let at = 0; at < value.length; at += 8) {
    sums[(at / 8) % words]! += view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
  }
  return sums;
}

function perCpuStride(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
