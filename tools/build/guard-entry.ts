/**
 * Gives an executable a new entry point: code that runs before its own (launcher.ts), in a segment at the end of the file. The file's last
 * bytes are the identity of the build, which the program reads from there (cni/src/resident/place.ts).
 */
import { createHash } from 'node:crypto';
import { launcherCode } from './launcher.ts';

// elf.h
const PT_LOAD = 1;
const PT_NOTE = 4;
const PF_X_R = 5;
const EM_X86_64 = 62;
const PAGE = 0x1000;
const PHDR_BYTES = 56;
/** As in cni/src/resident/place.ts. */
const IDENTITY_LETTERS = 16;

export interface LauncherTexts {
  /** What VERSION prints. */
  readonly version: string;
  /** What is printed when a call was begun by another process, and is lost. */
  readonly lost: string;
}

/** The executable with the launcher in front. Others than x86-64 are returned as they are. */
export function guardEntry(elf: Uint8Array, texts: LauncherTexts): Uint8Array {
  const view = new DataView(elf.buffer, elf.byteOffset, elf.byteLength);
  if (view.getUint32(0) !== 0x7f454c46 || view.getUint8(4) !== 2) throw new Error('not a 64-bit ELF executable');
  if (view.getUint16(18, true) !== EM_X86_64) return elf;
  const entry = view.getBigUint64(24, true);
  const headers = programHeaders(view);
  // Build identifiers only; nothing reads them at run time.
  const note = headers.find(({ type }) => type === PT_NOTE);
  if (note === undefined) throw new Error('the executable has no PT_NOTE header to replace');
  const end = headers.reduce((highest, { type, address, size }) => {
    const last = address + size;
    return type === PT_LOAD && last > highest ? last : highest;
  }, 0n);
  const offset = roundUp(BigInt(elf.length));
  const address = roundUp(end);
  const identity = createHash('sha256').update(elf).digest('hex').slice(0, IDENTITY_LETTERS);
  const code = withIdentity(launcherCode(Number(entry - address), { ...texts, identity }), identity);
  const guarded = new Uint8Array(Number(offset) + code.length);
  guarded.set(elf);
  guarded.set(code, Number(offset));
  const out = new DataView(guarded.buffer);
  out.setBigUint64(24, address, true);
  out.setUint32(note.at, PT_LOAD, true);
  out.setUint32(note.at + 4, PF_X_R, true);
  const [length, align] = [BigInt(code.length), BigInt(PAGE)];
  for (const [i, value] of [offset, address, address, length, length, align].entries()) {
    out.setBigUint64(note.at + 8 + 8 * i, value, true);
  }
  return guarded;
}

function withIdentity(code: Uint8Array, identity: string): Uint8Array {
  return Uint8Array.of(...code, ...new TextEncoder().encode(identity));
}

interface ProgramHeader {
  /** Offset in the file. */
  readonly at: number;
  readonly type: number;
  readonly address: bigint;
  readonly size: bigint;
}

function programHeaders(view: DataView): ProgramHeader[] {
  const first = Number(view.getBigUint64(32, true));
  return Array.from({ length: view.getUint16(56, true) }, (_, i) => {
    const at = first + i * PHDR_BYTES;
    return {
      at,
      type: view.getUint32(at, true),
      address: view.getBigUint64(at + 16, true),
      size: view.getBigUint64(at + 40, true),
    };
  });
}

function roundUp(value: bigint): bigint {
  return (value + BigInt(PAGE - 1)) & ~BigInt(PAGE - 1);
}
