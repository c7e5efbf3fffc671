/** Keys as `wg` reads and prints them: 32 bytes in Base64. No error here quotes one. */
import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto';

export const KEY_BYTES = 32;

/** 32 bytes in Base64 are 43 digits, of which the last one has two bits to spare, and a `=`. */
const KEY = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;

/** PKCS #8 of an X25519 private key (RFC 8410): all but the key itself. */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b656e04220420', 'hex');

/** In the place of a preshared key: none. */
export const NO_KEY = keyFromBytes(new Uint8Array(KEY_BYTES));

export class WireguardKeyError extends Error {
  override readonly name = 'WireguardKeyError';
}

/** Whether the text is a key, as `wg` accepts it. */
export function isKey(text: string): boolean {
  return KEY.test(text);
}

/** @param what for the error: `PSK`, `public key of 10.5.52.0/24` */
export function keyToBytes(key: string, what: string): Uint8Array {
  if (!isKey(key)) {
    throw new WireguardKeyError(`The ${what} is no WireGuard key: write 32 bytes in Base64, as wg genkey prints them`);
  }
  return new Uint8Array(Buffer.from(key, 'base64'));
}

export function keyFromBytes(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

/** `wg genkey` */
export function generatePrivateKey(): string {
  const key = randomBytes(KEY_BYTES);
  // RFC 7748, 5: which bits of a scalar are fixed.
  key[0]! &= 0xf8;
  key[31] = (key[31]! & 0x7f) | 0x40;
  return keyFromBytes(key);
}

/** `wg genpsk` */
export function generatePresharedKey(): string {
  return keyFromBytes(randomBytes(KEY_BYTES));
}

/** `wg pubkey` */
export function publicKeyOf(privateKey: string): string {
  const der = Buffer.concat([PKCS8_PREFIX, keyToBytes(privateKey, 'private key')]);
  const spki = createPublicKey(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }));
  return keyFromBytes(spki.export({ format: 'der', type: 'spki' }).subarray(-KEY_BYTES));
}
