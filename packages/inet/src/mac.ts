import { InetError } from './errors.ts';

declare const macBrand: unique symbol;

/** A 48-bit MAC address in lower case with colons: aa:bb:cc:dd:ee:ff. */
export type Mac = string & { readonly [macBrand]: true };

// Colons or dashes, one kind only: Windows nodes publish 0E-2A-... (flannel, backend/vxlan).
const MAC = /^[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}$/i;

export function parseMac(text: string): Mac {
  if (!MAC.test(text)) {
    throw new InetError('INVALID_MAC', `Invalid MAC address ${JSON.stringify(text)}: write it like 0a:1b:2c:3d:4e:5f`);
  }
  return text.toLowerCase().replace(/-/g, ':') as Mac;
}

export function macToBytes(mac: Mac): Uint8Array {
  return Uint8Array.from(mac.split(':'), (octet) => Number.parseInt(octet, 16));
}

export function macFromBytes(bytes: Uint8Array, offset = 0): Mac {
  if (offset < 0 || offset + 6 > bytes.length) {
    throw new InetError('INVALID_MAC', `MAC address needs 6 bytes at offset ${offset}, the buffer has ${bytes.length}`);
  }
  return Array.from(bytes.subarray(offset, offset + 6), (byte) => byte.toString(16).padStart(2, '0')).join(':') as Mac;
}

/** A unicast, locally administered address; `randomBytes` is node:crypto's, or a fixed source in tests. */
export function randomLocalMac(randomBytes: (size: number) => Uint8Array): Mac {
  const bytes = Uint8Array.from(randomBytes(6));
  bytes[0] = (bytes[0]! & 0xfe) | 0x02;
  return macFromBytes(bytes);
}
