import { libc } from './ffi/libc.ts';

const CLOCK_REALTIME = 0; // linux/time.h

/** Milliseconds since 1970 as Date.now() has them, with fractions: by the clock of the kernel's time stamps. */
export function realTime(): number {
  const timespec = new Uint8Array(16);
  libc.clock_gettime(CLOCK_REALTIME, timespec); // fails only for a clock that does not exist
  return milliseconds(timespec);
}

/** Of a `struct timespec` with words of 64 bits. */
export function milliseconds(timespec: Uint8Array): number {
  const view = new DataView(timespec.buffer, timespec.byteOffset);
  return Number(view.getBigInt64(0, true)) * 1000 + Number(view.getBigInt64(8, true)) / 1e6;
}
