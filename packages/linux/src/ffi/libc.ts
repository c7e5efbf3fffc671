import { bunBinding } from './bun.ts';
import { koffiBinding } from './koffi.ts';
import { type Binding, type FunctionName, type Libc, SIGNATURES } from './signatures.ts';

let loaded: Binding | undefined;

/** The binding of this runtime, loaded at first use: programs that only import this package's constants need none. */
export function binding(): Binding {
  loaded ??= process.versions.bun === undefined ? koffiBinding() : bunBinding();
  return loaded;
}

/** The functions of libc. A failed one returns -1 and leaves its reason to `errno()`, asked before anything else. */
export const libc: Libc = lazy();

/** errno of this thread's last failed call. */
export function errno(): number {
  return binding().errno();
}

/**
 * Each function starts as a stub that puts the real one into its place: a program that runs for some milliseconds does not
 * pay for those it never calls.
 */
function lazy(): Libc {
  const functions = {} as Record<FunctionName, (...args: never[]) => number>;
  for (const name of Object.keys(SIGNATURES) as FunctionName[]) {
    functions[name] = (...args: never[]) => {
      const bound = binding().bind(name) as (...args: never[]) => number;
      functions[name] = bound;
      return bound(...args);
    };
  }
  return functions as unknown as Libc;
}
