/** Prefixes as firewalls write them: 10.5.0.0/16, or an address alone. */
import { isIpv6, parseIp } from '@flannel-ts/inet/ip';

/** Whether all addresses of `inner` are in `outer`. */
export function containsPrefix(outer: string, inner: string): boolean {
  const [a, b] = [range(outer), range(inner)];
  return a !== undefined && b !== undefined && a.bits === b.bits && a.first <= b.first && b.last <= a.last;
}

/** False for what cannot be read: nothing is known of it then. */
export function disjointPrefixes(one: string, other: string): boolean {
  const [a, b] = [range(one), range(other)];
  return a !== undefined && b !== undefined && (a.bits !== b.bits || a.last < b.first || b.last < a.first);
}

function range(text: string) {
  const [address, length] = text.split('/');
  try {
    const ip = parseIp(address!);
    const bits = isIpv6(ip) ? 128 : 32;
    const size = 1n << BigInt(bits - (length === undefined ? bits : Number(length)));
    const first = BigInt(ip) - (BigInt(ip) % size);
    return { bits, first, last: first + size - 1n };
  } catch {
    return undefined; // a set, or a range
  }
}
