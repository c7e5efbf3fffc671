import { addressOf } from '@flannel-ts/linux/memory';
import * as layout from './assembly/layout.ts';
import { MODULE } from './module.generated.ts';

/** The part of WebAssembly used here; its types are declared only with a browser's library. */
interface WebAssemblyApi {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { exports: Exports };
  Memory: new (size: { initial: number; maximum: number }) => { buffer: ArrayBuffer };
}

/** What assembly/index.ts exports; bools are numbers here. */
export interface Exports {
  sum(at: number, length: number): bigint;
  setBase(low: number, high: number): void;
  configure(mtu: number, tunAddress: number, nameBytes: number, port: number, filterPeers: number): void;
  enableIpv6(): void;
  setSending(maxSegments: number, sources: number): void;
  setMerging(tcp: number, udp: number, verify: number): void;
  forgetRoutes(): void;
  outgoing(packet: number, length: number, vnet: number): number;
  outgoingPackets(): number;
  outgoingBytes(): number;
  clearPlans(): void;
  /** That of a source port; what follows is about it. */
  selectPlan(source: number): void;
  messageCount(): number;
  prepareSingle(segment: number, message: number): number;
  copySegment(segment: number, to: number, most: number): number;
  prepareSlots(): void;
  readSlots(count: number): void;
  incoming(data: number, length: number, size: number, sender: number): void;
  clearEntries(): void;
  entryCount(): number;
  finishEntries(): void;
  preparePacket(entry: number, which: number): number;
}

/** What the module asks of its host; addresses are signed numbers. See assembly/host.ts. */
export interface Imports {
  ownerOf(address: number): number;
  /** By the offset of the address in the memory. */
  ownerOf6(at: number): number;
  /** By the offset of its name. */
  peerAt(name: number): number;
  /** Fills LAST_TARGET, TARGET_LIMIT and TARGET_UNSEGMENTED. */
  describeTarget(peer: number): void;
  /** By the offset of the address. */
  isPeerAddress(at: number): number;
  refuse(verdict: number, packet: number, length: number): void;
  makeRoom(): void;
}

/** An instance of the module, its memory, and views over it. */
export interface Wasm extends Exports {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  /** Address of the memory's first byte, for system calls. */
  readonly base: number;
}

export function instantiate(imports: Imports): Wasm {
  const { Module, Instance, Memory } = (globalThis as unknown as { WebAssembly: WebAssemblyApi }).WebAssembly;
  const memory = new Memory({ initial: layout.MEMORY_PAGES, maximum: layout.MEMORY_PAGES });
  const module = new Module(Buffer.from(MODULE, 'base64'));
  const { exports } = new Instance(module, { env: { memory }, host: imports });
  const bytes = new Uint8Array(memory.buffer);
  const base = addressOf(bytes);
  exports.setBase(base % 2 ** 32, Math.floor(base / 2 ** 32));
  exports.clearEntries();
  exports.clearPlans();
  exports.prepareSlots();
  return { ...exports, bytes, words: new Uint32Array(memory.buffer), base };
}
