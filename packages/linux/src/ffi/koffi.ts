import { type Binding, type FunctionName, type Libc, SIGNATURES, type Signature, type Word } from './signatures.ts';

/** The part of koffi's interface used here. */
interface Koffi {
  load(path: string | null): { func(name: string, result: string, args: string[]): (...args: never[]) => number };
  errno(): number;
  address(value: ArrayBufferView): bigint;
}

const TYPE: Readonly<Record<Word, string>> = {
  i32: 'int32_t',
  u32: 'uint32_t',
  usize: 'uintptr_t',
  isize: 'int64_t', // koffi has no ssize_t; it returns a Number as long as that is exact
  view: 'void *',
  address: 'uintptr_t', // as a pointer type it would be a BigInt since koffi 3
};

export function koffiBinding(): Binding {
  const koffi = loadKoffi();
  const libc = koffi.load(null); // the C library that node itself is linked with, glibc or musl
  return {
    name: 'koffi',
    bind<K extends FunctionName>(name: K): Libc[K] {
      const { symbol = name, args, returns }: Signature = SIGNATURES[name];
      const types = args.map((word) => TYPE[word]);
      return libc.func(symbol, TYPE[returns], types) as unknown as Libc[K];
    },
    errno: () => koffi.errno(),
    addressOf: (view) => Number(koffi.address(view)),
  };
}

/**
 * Modules of this project run on Node as CommonJS (jest, ts-node, esbuild's cjs bundles), where `require` is in scope. It is
 * taken by value, so that no bundler follows it: Bun's binaries need no koffi, and a Node bundle ships koffi beside itself.
 */
function loadKoffi(): Koffi {
  const load = typeof require === 'function' ? require : requireFromProgram();
  return load('koffi') as Koffi;
}

function requireFromProgram(): NodeRequire {
  const { createRequire } = process.getBuiltinModule('node:module');
  return createRequire(process.argv[1] ?? `${process.cwd()}/`);
}
