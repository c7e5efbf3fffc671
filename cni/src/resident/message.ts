import type { Environment } from '../protocol.ts';

/**
 * What tools/build/launcher.ts sends, in one message: argc and the length of the strings as two 64-bit numbers, then the strings of argv and the
 * environment as they lie on the stack, each with a NUL behind it, then stdin.
 *
 * The answers: any number of PATIENCE, as long as others are being served; READY, upon which the launcher says GO; what is to be printed
 * behind a TEXT, upon which it says WRITTEN or UNWRITABLE; at last a byte that is the exit code.
 */
export const PATIENCE = 0x50;
export const READY = 0x52;
export const GO = 0x47;
export const TEXT = 0x54;
export const WRITTEN = 0x57;
export const MOST_BYTES = 256 << 10;
/** Of a text; results are some hundreds of bytes. */
export const MOST_TEXT = 100 << 10;
const HEADER_BYTES = 16;

export interface LauncherRequest {
  readonly argv0: string;
  readonly env: Environment;
  readonly stdin: Uint8Array;
}

/** Undefined for what no launcher sends. */
export function readMessage(bytes: Uint8Array): LauncherRequest | undefined {
  if (bytes.length < HEADER_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const [argc, length] = [Number(view.getBigUint64(0, true)), Number(view.getBigUint64(8, true))];
  const end = HEADER_BYTES + length;
  if (end > bytes.length || bytes[end - 1] !== 0) return undefined;
  const strings = new TextDecoder().decode(bytes.subarray(HEADER_BYTES, end - 1)).split('\0');
  if (argc < 1 || argc > strings.length) return undefined;
  const env: Record<string, string> = Object.create(null);
  for (const text of strings.slice(argc)) {
    const equals = text.indexOf('=');
    if (equals > 0) env[text.slice(0, equals)] = text.slice(equals + 1);
  }
  return { argv0: strings[0]!, env, stdin: bytes.subarray(end) };
}
