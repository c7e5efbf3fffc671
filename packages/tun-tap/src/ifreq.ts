import { TunTapError } from './errors.ts';

/** struct ifreq: a name of 16 bytes and a union of 24, of which TUNSETIFF uses the first 2 as flags. */
const IFREQ_BYTES = 40;
const IFNAMSIZ = 16;

/** The argument of TUNSETIFF. */
export function encodeIfreq(name: string, flags: number): Uint8Array {
  const bytes = new TextEncoder().encode(name);
  if (bytes.length >= IFNAMSIZ || /[/\0\s]/.test(name) || name === '.' || name === '..') {
    throw new TunTapError(
      'INVALID_NAME',
      `Device name ${JSON.stringify(name)} is not valid: use 1 to 15 bytes without "/" or white space, or a pattern such as "tun%d"`,
    );
  }
  const ifreq = new Uint8Array(IFREQ_BYTES);
  ifreq.set(bytes);
  new DataView(ifreq.buffer).setUint16(IFNAMSIZ, flags, true);
  return ifreq;
}

/** The name that the kernel wrote into an ifreq. */
export function ifreqName(ifreq: Uint8Array): string {
  const end = ifreq.subarray(0, IFNAMSIZ).indexOf(0);
  return new TextDecoder().decode(ifreq.subarray(0, end === -1 ? IFNAMSIZ : end));
}
