import { binding } from './ffi/libc.ts';

/**
 * The address of a view's first byte, as a number (user space ends below 2^47, so it is exact).
 *
 * It stays right as long as the buffer lives and is not resized: keep the view referenced, and use WebAssembly memories of
 * fixed size. The garbage collector does not see addresses.
 */
export function addressOf(view: ArrayBufferView): number {
  if (view.byteLength === 0) throw new RangeError('An empty view has no address');
  return binding().addressOf(view);
}

/** A NUL-terminated copy of `text`, which must not hold a NUL itself: the kernel would see only the part before it. */
export function cString(text: string): Uint8Array {
  if (text.includes('\0'))
    throw new RangeError(`A path or name must not contain a NUL character: ${JSON.stringify(text)}`);
  return new TextEncoder().encode(`${text}\0`);
}

/** Text up to the first NUL of a fixed-size field. */
export function textOf(field: Uint8Array): string {
  const end = field.indexOf(0);
  return new TextDecoder().decode(end === -1 ? field : field.subarray(0, end));
}

/** Bun's pointer conversion refuses empty views; the kernel accepts a null pointer with length 0. */
export function pointer(view: Uint8Array): Uint8Array | null {
  return view.length === 0 ? null : view;
}
