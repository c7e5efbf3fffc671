/** eth0 with these addresses, the first one's family first, which it publishes as well. */
import { isIpv4, isIpv6, parseIp } from '@flannel-ts/inet/ip';
import type { ExternalInterface } from '../src/underlay/select.ts';

export function externalAt(texts: readonly string[], more: Partial<ExternalInterface> = {}): ExternalInterface {
  const all = texts.map((text) => parseIp(text));
  const ipv4 = all.find(isIpv4);
  const ipv6 = all.find(isIpv6);
  return {
    name: 'eth0',
    index: 2,
    mtu: 1500,
    address: all[0]!,
    addresses: { ...(ipv4 !== undefined && { 4: ipv4 }), ...(ipv6 !== undefined && { 6: ipv6 }) },
    ...(ipv4 !== undefined && { publicIp: ipv4 }),
    ...(ipv6 !== undefined && { publicIpv6: ipv6 }),
    ...more,
  };
}
