/** The few instructions of x86-64 that the plugin's entry (guard-entry.ts) is made of, as bytes. Intel's manual, volume 2. */

const REGISTERS = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  ...range(8, 16).map((n) => `r${n}`),
] as const;

export type Register =
  | `r${'ax' | 'cx' | 'dx' | 'bx' | 'sp' | 'bp' | 'si' | 'di'}`
  | `r${8 | 9 | 10 | 11 | 12 | 13 | 14 | 15}`;
/** Of memory: a register that holds an address, and a distance from it. */
export type Place = readonly [Register, number];
/** What a system call gets: a number, a register, the address of a place, or that of a label. */
export type Argument = number | Register | { readonly addressOf: Place | string };

const CONDITIONS = {
  equal: 0x84,
  unequal: 0x85,
  negative: 0x88,
  notNegative: 0x89,
  notPositive: 0x8e,
  above: 0x87,
} as const;
export type Condition = keyof typeof CONDITIONS;

const ARGUMENTS: readonly Register[] = ['rdi', 'rsi', 'rdx', 'r10', 'r8', 'r9'];

export class Assembler {
  readonly #bytes: number[] = [];
  readonly #labels = new Map<string, number>();
  readonly #references: { readonly at: number; readonly label: string }[] = [];

  label(name: string): void {
    if (this.#labels.has(name)) throw new Error(`the label ${name} stands twice`);
    this.#labels.set(name, this.#bytes.length);
  }

  /** Data between the code. */
  text(text: string): void {
    this.#bytes.push(...new TextEncoder().encode(text));
  }

  move(to: Register, from: Register | number | bigint): void {
    if (typeof from === 'string') this.#withRegister(0x89, from, to);
    else if (typeof from === 'bigint') this.#emit(rex(0, to), 0xb8 | low(to), ...littleEndian(from, 8));
    else this.#emit(rex(0, to), 0xc7, 0xc0 | low(to), ...littleEndian(from, 4)); // sign-extended
  }

  load(to: Register, from: Place): void {
    this.#withPlace([0x8b], number(to), from);
  }

  store(to: Place, from: Register): void {
    this.#withPlace([0x89], number(from), to);
  }

  /** A constant of 8 bytes, from 4 with their sign. */
  storeNumber(to: Place, value: number): void {
    this.#withPlace([0xc7], 0, to);
    this.#emit(...littleEndian(value, 4));
  }

  loadByte(to: Register, from: Place): void {
    this.#withPlace([0x0f, 0xb6], number(to), from); // movzx
  }

  /** The lowest byte of rax. */
  storeByte(to: Place): void {
    this.#withPlace([0x88], 0, to);
  }

  loadDouble(to: Register, from: Place): void {
    this.#withPlace([0x63], number(to), from); // movsxd
  }

  addressOf(to: Register, what: Place | string): void {
    if (typeof what === 'string') {
      this.#emit(rex(number(to), 0), 0x8d, (low(to) << 3) | 5); // relative to rip
      this.#reference(what);
    } else this.#withPlace([0x8d], number(to), what);
  }

  /** to = base + 8 * index + distance. */
  addressOfWord(to: Register, base: Register, index: Register, distance: number): void {
    const prefix = rex(number(to), base) | (number(index) > 7 ? 2 : 0);
    const sib = 0xc0 | (low(index) << 3) | low(base);
    this.#emit(prefix, 0x8d, 0x84 | (low(to) << 3), sib, ...littleEndian(distance, 4));
  }

  add(to: Register, what: Register | number): void {
    if (typeof what === 'string') this.#withRegister(0x01, what, to);
    else this.#emit(rex(0, to), 0x81, 0xc0 | low(to), ...littleEndian(what, 4));
  }

  subtract(from: Register, what: Register): void {
    this.#withRegister(0x29, what, from);
  }

  and(to: Register, mask: number): void {
    this.#emit(rex(0, to), 0x81, 0xe0 | low(to), ...littleEndian(mask, 4));
  }

  exclusiveOr(to: Register, mask: number): void {
    this.#emit(rex(0, to), 0x81, 0xf0 | low(to), ...littleEndian(mask, 4));
  }

  compare(left: Register, right: Register | number): void {
    if (typeof right === 'string') this.#withRegister(0x39, right, left);
    else this.#emit(rex(0, left), 0x81, 0xf8 | low(left), ...littleEndian(right, 4));
  }

  jumpIf(condition: Condition, label: string): void {
    this.#emit(0x0f, CONDITIONS[condition]);
    this.#reference(label);
  }

  jump(label: string): void {
    this.#emit(0xe9);
    this.#reference(label);
  }

  /** To what lies outside, as far from the beginning of this code as `distance`. */
  jumpOut(distance: number): void {
    this.#emit(0xe9, ...littleEndian(distance - this.#bytes.length - 5, 4));
  }

  call(label: string): void {
    this.#emit(0xe8);
    this.#reference(label);
  }

  return(): void {
    this.#emit(0xc3);
  }

  /** Copies rcx bytes from rsi to rdi, both of which then point behind. */
  copyBytes(): void {
    this.#emit(0xf3, 0xa4); // rep movsb
  }

  /** Changes rcx and r11, and rax to the result. No argument may be in a register of one before it. */
  systemCall(call: number, ...values: readonly Argument[]): void {
    for (const [i, value] of values.entries()) {
      const to = ARGUMENTS[i]!;
      if (typeof value === 'object') this.addressOf(to, value.addressOf);
      else if (value !== to) this.move(to, value);
    }
    this.move('rax', call);
    this.#emit(0x0f, 0x05);
    this.compare('rax', 0);
  }

  /** Of the whole code. */
  bytes(): Uint8Array {
    const code = Uint8Array.from(this.#bytes);
    const view = new DataView(code.buffer);
    for (const { at, label } of this.#references) {
      const target = this.#labels.get(label);
      if (target === undefined) throw new Error(`there is no label ${label}`);
      view.setInt32(at, target - at - 4, true);
    }
    return code;
  }

  #emit(...bytes: readonly number[]): void {
    this.#bytes.push(...bytes);
  }

  #reference(label: string): void {
    this.#references.push({ at: this.#bytes.length, label });
    this.#emit(0, 0, 0, 0);
  }

  #withRegister(opcode: number, second: Register, first: Register): void {
    this.#emit(rex(number(second), first), opcode, 0xc0 | (low(second) << 3) | low(first));
  }

  /** Always with a distance of 4 bytes; rsp and r12 need one byte more. */
  #withPlace(opcode: readonly number[], field: number, [base, distance]: Place): void {
    const sib = low(base) === 4 ? [0x24] : [];
    this.#emit(
      rex(field, base),
      ...opcode,
      0x80 | ((field & 7) << 3) | low(base),
      ...sib,
      ...littleEndian(distance, 4),
    );
  }
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

function number(register: Register): number {
  return REGISTERS.indexOf(register);
}

function low(register: Register): number {
  return number(register) & 7;
}

/** All operations are of 64 bits. */
function rex(field: number, base: Register | 0): number {
  return 0x48 | (field > 7 ? 4 : 0) | (base !== 0 && number(base) > 7 ? 1 : 0);
}

function littleEndian(value: number | bigint, length: number): number[] {
  return range(0, length).map((i) => Number((BigInt(value) >> BigInt(8 * i)) & 0xffn));
}
