import { InetError } from './errors.ts';
import { formatIpv4, type Ipv4, isIpv4Text, parseIpv4 } from './ipv4.ts';

declare const ipv6Brand: unique symbol;

/** An IPv6 address as an unsigned 128-bit number. */
export type Ipv6 = bigint & { readonly [ipv6Brand]: true };

const IPV6_MAX = (1n << 128n) - 1n;
const HEXTET = /^[0-9a-fA-F]{1,4}$/;

export function isIpv6Text(text: string): boolean {
  return readHextets(text) !== undefined;
}

/** Zones (fe80::1%eth0) are refused: an overlay address has none. */
export function parseIpv6(text: string): Ipv6 {
  const hextets = readHextets(text);
  if (hextets === undefined) {
    throw new InetError('INVALID_ADDRESS', `Invalid IPv6 address ${JSON.stringify(text)}: write it like fd00::1`);
  }
  return fromHextets(hextets);
}

/** RFC 5952: lower case, no leading zeros, the longest run of at least two zero fields shortened, the first one if equal. */
export function formatIpv6(ip: Ipv6): string {
  const hextets = toHextets(ip);
  // RFC 5952 section 5: mixed notation for addresses known to embed IPv4.
  if (ip >> 32n === 0xffffn) return `::ffff:${formatIpv4(Number(ip & 0xffff_ffffn) as Ipv4)}`;
  const run = longestZeroRun(hextets);
  const join = (from: number, to: number) =>
    hextets
      .slice(from, to)
      .map((hextet) => hextet.toString(16))
      .join(':');
  return run.length < 2 ? join(0, 8) : `${join(0, run.start)}::${join(run.start + run.length, 8)}`;
}

/** The address with this number, for arithmetic results. */
export function ipv6FromNumber(value: bigint): Ipv6 {
  if (value < 0n || value > IPV6_MAX) {
    throw new InetError('INVALID_ADDRESS', `IPv6 address number ${value} does not fit into 128 bits`);
  }
  return value as Ipv6;
}

/** Network byte order. */
export function ipv6ToBytes(ip: Ipv6): Uint8Array {
  const bytes = new Uint8Array(16);
  toHextets(ip).forEach((hextet, i) => {
    bytes[2 * i] = hextet >> 8;
    bytes[2 * i + 1] = hextet & 255;
  });
  return bytes;
}

export function ipv6FromBytes(bytes: Uint8Array, offset = 0): Ipv6 {
  if (offset < 0 || offset + 16 > bytes.length) {
    throw new InetError(
      'INVALID_ADDRESS',
      `IPv6 address needs 16 bytes at offset ${offset}, the buffer has ${bytes.length}`,
    );
  }
  let value = 0n;
  for (let i = 0; i < 16; i++) value = (value << 8n) | BigInt(bytes[offset + i]!);
  return value as Ipv6;
}

function readHextets(text: string): number[] | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = readGroups(halves[0]!, halves.length === 1);
  if (halves.length === 1) return head?.length === 8 ? head : undefined;
  const tail = readGroups(halves[1]!, true);
  if (head === undefined || tail === undefined) return undefined;
  // "::" stands for at least one field.
  const missing = 8 - head.length - tail.length;
  return missing < 1 ? undefined : [...head, ...new Array<number>(missing).fill(0), ...tail];
}

function readGroups(text: string, mayEndInIpv4: boolean): number[] | undefined {
  if (text === '') return [];
  const hextets: number[] = [];
  const groups = text.split(':');
  for (const [i, group] of groups.entries()) {
    if (HEXTET.test(group)) {
      hextets.push(Number.parseInt(group, 16));
    } else if (mayEndInIpv4 && i === groups.length - 1 && isIpv4Text(group)) {
      const ipv4 = parseIpv4(group);
      hextets.push(ipv4 >>> 16, ipv4 & 0xffff);
    } else {
      return undefined;
    }
  }
  return hextets;
}

function fromHextets(hextets: readonly number[]): Ipv6 {
  return hextets.reduce((value, hextet) => (value << 16n) | BigInt(hextet), 0n) as Ipv6;
}

function toHextets(ip: Ipv6): number[] {
  return Array.from({ length: 8 }, (_, i) => Number((ip >> BigInt(112 - 16 * i)) & 0xffffn));
}

function longestZeroRun(hextets: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (let i = 0; i < hextets.length; i++) {
    if (hextets[i] !== 0) start = i + 1;
    else if (i + 1 - start > best.length) best = { start, length: i + 1 - start };
  }
  return best;
}
