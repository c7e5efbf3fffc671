import { InetError } from './errors.ts';
import { formatIpv4, type Ipv4, isIpv4Text, parseIpv4 } from './ipv4.ts';
import { formatIpv6, type Ipv6, isIpv6Text, parseIpv6 } from './ipv6.ts';

/** An address of either family; a number is IPv4, a bigint IPv6. */
export type Ip = Ipv4 | Ipv6;

export function isIpv6(ip: Ip): ip is Ipv6 {
  return typeof ip === 'bigint';
}

export function parseIp(text: string): Ip {
  if (isIpv4Text(text)) return parseIpv4(text);
  if (isIpv6Text(text)) return parseIpv6(text);
  throw new InetError(
    'INVALID_ADDRESS',
    `Invalid address ${JSON.stringify(text)}: write IPv4 like 10.0.0.1, or IPv6 like fd00::1`,
  );
}

export function formatIp(ip: Ip): string {
  return isIpv6(ip) ? formatIpv6(ip) : formatIpv4(ip);
}
