import { type Binding, type FunctionName, type Libc, SIGNATURES, type Signature, type Word } from './signatures.ts';

/** The part of bun:ffi used here; `bun-types` would redefine Node's globals for the whole project. */
interface BunFfi {
  dlopen(
    path: string,
    symbols: Record<string, { args: readonly string[]; returns: string }>,
  ): { symbols: Record<string, (...args: never[]) => number> };
  ptr(view: ArrayBufferView): number;
  readonly read: { i32(address: number, offset: number): number };
}

const TYPE: Readonly<Record<Word, string>> = {
  i32: 'i32',
  u32: 'u32',
  usize: 'u64',
  isize: 'i64_fast', // a Number as long as that is exact
  view: 'ptr',
  address: 'ptr',
};

const LIBRARIES = ['libc.so.6', `libc.musl-${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}.so.1`];

export function bunBinding(): Binding {
  // Bun answers getBuiltinModule for its own modules too: no import for esbuild, jest or tsc to stumble over.
  const ffi = process.getBuiltinModule('bun:ffi') as unknown as BunFfi;
  // errno lives at a fixed address per thread, and each thread has its own copy of this module.
  const errnoAddress = errnoLocation(ffi);
  return {
    name: 'bun:ffi',
    bind<K extends FunctionName>(name: K): Libc[K] {
      const { symbol = name, args, returns }: Signature = SIGNATURES[name];
      const signature = { args: args.map((word) => TYPE[word]), returns: TYPE[returns] };
      return dlopenFirst(ffi, { [symbol]: signature }).symbols[symbol] as unknown as Libc[K];
    },
    errno: () => ffi.read.i32(errnoAddress, 0),
    addressOf: (view) => ffi.ptr(view),
  };
}

let library: string | undefined;

function dlopenFirst(ffi: BunFfi, symbols: Parameters<BunFfi['dlopen']>[1]): ReturnType<BunFfi['dlopen']> {
  if (library !== undefined) return ffi.dlopen(library, symbols);
  let failure: unknown;
  for (const candidate of LIBRARIES) {
    try {
      const opened = ffi.dlopen(candidate, symbols);
      library = candidate;
      return opened;
    } catch (error) {
      failure ??= error;
    }
  }
  throw failure;
}

function errnoLocation(ffi: BunFfi): number {
  const { symbols } = dlopenFirst(ffi, { __errno_location: { args: [], returns: 'ptr' } });
  return symbols.__errno_location!();
}
