/**
 * Milliseconds of a clock that only goes forward. Lifetimes and timeouts are measured with it: Date.now() jumps when the
 * system's time is set.
 */
export function monotonicNow(): number {
  return performance.now();
}
