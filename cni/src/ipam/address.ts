import { formatIpv4, type Ipv4, isIpv4Text, parseIpv4 } from '@flannel-ts/inet/ipv4';
import { formatIpv6, ipv6FromNumber, isIpv6Text, parseIpv6 } from '@flannel-ts/inet/ipv6';

/** An address of either family as a number, so that one allocator counts through both. */
export interface IpAddress {
  readonly family: 4 | 6;
  readonly value: bigint;
}

export interface IpBlock {
  readonly family: 4 | 6;
  readonly base: bigint;
  readonly length: number;
}

const WIDTH = { 4: 32, 6: 128 } as const;

export function parseIp(text: string): IpAddress | undefined {
  if (isIpv4Text(text)) return { family: 4, value: BigInt(parseIpv4(text)) };
  if (isIpv6Text(text)) return { family: 6, value: parseIpv6(text) };
  return undefined;
}

export function formatIp(ip: IpAddress): string {
  return ip.family === 4 ? formatIpv4(Number(ip.value) as Ipv4) : formatIpv6(ipv6FromNumber(ip.value));
}

export function sameIp(a: IpAddress, b: IpAddress): boolean {
  return a.family === b.family && a.value === b.value;
}

function hostBits(family: 4 | 6, length: number): bigint {
  return (1n << BigInt(WIDTH[family] - length)) - 1n;
}

/** `ADDRESS/LENGTH` as written, host bits kept. */
export function parseIpWithLength(text: string): { ip: IpAddress; length: number } | undefined {
  const slash = text.indexOf('/');
  if (slash < 0 || !/^\d{1,3}$/.test(text.slice(slash + 1))) return undefined;
  const ip = parseIp(text.slice(0, slash));
  const length = Number(text.slice(slash + 1));
  return ip === undefined || length > WIDTH[ip.family] ? undefined : { ip, length };
}

export function blockOf(ip: IpAddress, length: number): IpBlock {
  return { family: ip.family, base: ip.value & ~hostBits(ip.family, length), length };
}

export function blockContains(block: IpBlock, ip: IpAddress): boolean {
  return ip.family === block.family && (ip.value & ~hostBits(block.family, block.length)) === block.base;
}

/** Last address of the block: the broadcast address in IPv4. */
export function lastOf(block: IpBlock): bigint {
  return block.base | hostBits(block.family, block.length);
}

export function isTooSmall(block: IpBlock): boolean {
  return block.length > WIDTH[block.family] - 2;
}

export function formatBlock(block: IpBlock): string {
  return `${formatIp({ family: block.family, value: block.base })}/${block.length}`;
}

/** The last `count` bytes, most significant first. */
export function lowBytes(ip: IpAddress, count: number): number[] {
  return Array.from({ length: count }, (_, i) => Number((ip.value >> BigInt(8 * (count - 1 - i))) & 0xffn));
}
