/**
 * Code that runs before Bun's does. Bun takes BUN_BE_BUN=1 for the wish to be Bun's command line, and BUN_OPTIONS for its arguments; a
 * program that a container runtime starts has no say in its environment. So the executable gets a new entry point of some bytes
 * that changes the first letter of every variable's name, in place, and then goes on to the old one. What the program is about
 * to pass on or to read itself, it changes back (cni/src/environment.ts).
 *
 * Whoever starts the program with stdout closed gets exit code 1 at once: Bun would open /dev/null in its place, and an ADD would
 * succeed of which nobody hears.
 */

// elf.h
const PT_LOAD = 1;
const PT_NOTE = 4;
const PF_X_R = 5;
const EM_X86_64 = 62;
const PAGE = 0x1000;
const PHDR_BYTES = 56;

/** The executable with the guard in front. Others than x86-64 are returned as they are. */
export function guardEntry(elf: Uint8Array): Uint8Array {
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
  const code = guardCode(address, entry);
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

/**
 * At the entry, the stack holds argc, argv, NULL, the environment, NULL, and rdx belongs to the C library (System V ABI, 3.4.1). Names
 * that begin with a letter or an underscore get bit 6 of their first byte cleared; of those, none looks like a name any more. Other
 * names are emptied.
 */
function guardCode(address: bigint, entry: bigint): Uint8Array {
  const start = [
    ...[0xb8, 72, 0, 0, 0], // mov eax, SYS_fcntl
    ...[0xbf, 1, 0, 0, 0], // mov edi, 1
    ...[0xbe, 1, 0, 0, 0], // mov esi, F_GETFD
    ...[0x0f, 0x05], // syscall
    ...[0x85, 0xc0], // test eax, eax
    ...[0x79, 0x0c], // jns over the exit
    ...[0xb8, 231, 0, 0, 0], // mov eax, SYS_exit_group
    ...[0xbf, 1, 0, 0, 0], // mov edi, 1
    ...[0x0f, 0x05], // syscall
    ...[0x48, 0x8b, 0x04, 0x24], // mov rax, [rsp]
    ...[0x48, 0x8d, 0x74, 0xc4, 0x10], // lea rsi, [rsp + rax * 8 + 16]
  ];
  const loop = [
    ...[0x48, 0x8b, 0x3e], // mov rdi, [rsi]
    ...[0x48, 0x85, 0xff], // test rdi, rdi
    ...[0x74, 0x18], // jz to the end
    ...[0x8a, 0x07], // mov al, [rdi]
    ...[0x88, 0xc1], // mov cl, al
    ...[0x80, 0xe1, 0xc0], // and cl, 0xc0
    ...[0x34, 0x40], // xor al, 0x40
    ...[0x80, 0xf9, 0x40], // cmp cl, 0x40
    ...[0x74, 0x02], // je over the next
    ...[0x30, 0xc0], // xor al, al
    ...[0x88, 0x07], // mov [rdi], al
    ...[0x48, 0x83, 0xc6, 0x08], // add rsi, 8
    ...[0xeb, 0xe0], // jmp to the loop
  ];
  const jumpFrom = address + BigInt(start.length + loop.length + 5);
  const jump = new Uint8Array(5);
  jump[0] = 0xe9; // jmp to the old entry
  new DataView(jump.buffer).setInt32(1, Number(entry - jumpFrom), true);
  return Uint8Array.of(...start, ...loop, ...jump);
}
