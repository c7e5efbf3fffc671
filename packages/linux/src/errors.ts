import { EINTR, errnoName } from './errno.ts';
import { errno, libc } from './ffi/libc.ts';

/** The C library's sentence for a number: `17` -> `File exists`. */
export function errnoText(number: number): string {
  const buffer = new Uint8Array(256);
  libc.strerror(number, buffer, buffer.length);
  return new TextDecoder().decode(buffer.subarray(0, buffer.indexOf(0)));
}

/** A system call that failed. `code` is errno's name, so it can be handled like an error of node:fs. */
export class SystemError extends Error {
  override readonly name = 'SystemError';
  readonly code: string;

  constructor(
    readonly syscall: string,
    readonly errno: number,
    /** What was attempted, to follow "Cannot ": `open "/dev/net/tun"`. */
    attempt: string = syscall,
  ) {
    const code = errnoName(errno);
    super(`Cannot ${attempt}: ${errnoText(errno)} (${code})`);
    this.code = code;
  }
}

/**
 * Whether `error` is a failed system call with one of these codes, from this package or from node:fs. It asks for no class:
 * in a vm context (jest, Pulumi's loader) the errors of node:fs are not instances of that context's Error.
 */
export function isErrno(error: unknown, ...codes: readonly string[]): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && codes.includes(error.code as string);
}

/** `result`, or the error of the call that just returned -1. Nothing may come between that call and this. */
export function checked(result: number, syscall: string, attempt?: string | (() => string)): number {
  if (result >= 0) return result;
  throw new SystemError(syscall, errno(), typeof attempt === 'function' ? attempt() : attempt);
}

/** Calls again as long as a signal interrupts: libuv's handlers do not all restart calls. */
export function uninterrupted(call: () => number): number {
  for (;;) {
    const result = call();
    if (result >= 0 || errno() !== -EINTR) return result;
  }
}
