import { TunTapError } from './errors.ts';

/** struct ifreq: a name of 16 bytes and a union of 24, of which a request uses the first 4 as a number, or the first 2 as flags. */
const IFREQ_BYTES = 40;
const IFNAMSIZ = 16;

/** The argument of requests about a device, like TUNSETIFF with its flags. */
export function encodeIfreq(name: string, value: number): Uint8Array {
  const bytes = new TextEncoder().encode(name);
  if (bytes.length >= IFNAMSIZ || /[/\0\s]/.test(name) || name === '.' || name === '..') {
    throw new TunTapError(
      'INVALID_NAME',
      `Device name ${JSON.stringify(name)} is not valid: use 1 to 15 bytes without "/" or white space, or a pattern such as "tun%d"`,
    );
  }
  const ifreq = new Uint8Array(IFREQ_BYTES);
  ifreq.set(bytes);
  new DataView(ifreq.buffer).setUint32(IFNAMSIZ, value, true);
  return ifreq;
}

/** The name that the kernel wrote into an ifreq. */
export function ifreqName(ifreq: Uint8Array): string {
  const end = ifreq.subarray(0, IFNAMSIZ).indexOf(0);
  return new TextDecoder().decode(ifreq.subarray(0, end === -1 ? IFNAMSIZ : end));
}
