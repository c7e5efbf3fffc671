import { InetError } from './errors.ts';

declare const ipv4Brand: unique symbol;

/** An IPv4 address as an unsigned 32-bit number in host order: 10.0.0.1 is 0x0a000001. */
export type Ipv4 = number & { readonly [ipv4Brand]: true };

// Leading zeros are refused, as Go's net.ParseIP does: some parsers read 010 as octal (CVE-2021-29923).
const OCTET = '(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
const IPV4 = new RegExp(`^${OCTET}\\.${OCTET}\\.${OCTET}\\.${OCTET}$`);

export function isIpv4Text(text: string): boolean {
  return IPV4.test(text);
}

export function parseIpv4(text: string): Ipv4 {
  const match = IPV4.exec(text);
  if (match === null) {
    throw new InetError(
      'INVALID_ADDRESS',
      `Invalid IPv4 address ${JSON.stringify(text)}: write four decimal numbers from 0 to 255, like 10.0.0.1`,
    );
  }
  return ipv4FromOctets(Number(match[1]), Number(match[2]), Number(match[3]), Number(match[4]));
}

export function formatIpv4(ip: Ipv4): string {
  return `${ip >>> 24}.${(ip >>> 16) & 255}.${(ip >>> 8) & 255}.${ip & 255}`;
}

/** The address with this number, for arithmetic results. */
export function ipv4FromNumber(value: number): Ipv4 {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) {
    throw new InetError('INVALID_ADDRESS', `IPv4 address number ${value} is not within 0 and 4294967295`);
  }
  return value as Ipv4;
}

/** Network byte order. */
export function ipv4ToBytes(ip: Ipv4): Uint8Array {
  return Uint8Array.of(ip >>> 24, (ip >>> 16) & 255, (ip >>> 8) & 255, ip & 255);
}

export function ipv4FromBytes(bytes: Uint8Array, offset = 0): Ipv4 {
  if (offset < 0 || offset + 4 > bytes.length) {
    throw new InetError(
      'INVALID_ADDRESS',
      `IPv4 address needs 4 bytes at offset ${offset}, the buffer has ${bytes.length}`,
    );
  }
  return ipv4FromOctets(bytes[offset]!, bytes[offset + 1]!, bytes[offset + 2]!, bytes[offset + 3]!);
}

function ipv4FromOctets(a: number, b: number, c: number, d: number): Ipv4 {
  return (((a << 24) | (b << 16) | (c << 8) | d) >>> 0) as Ipv4;
}
