/** Blocks the thread: a plugin has nothing else to do meanwhile, and nothing of it is asynchronous. */
export function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
