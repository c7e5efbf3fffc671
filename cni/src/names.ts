import { type Ip, ipFromBytes, ipToBytes, isIpv4 } from '@flannel-ts/inet/ip';
import { type Mac, macFromBytes, macToBytes } from '@flannel-ts/inet/mac';

/**
 * Names and MAC addresses that follow from what they belong to. DEL then finds the host's end of a pair without knowing
 * anything else (the reference plugin draws random names), two ADDs at once make the same bridge, and an address that goes
 * to another pod keeps its MAC, so that neighbours need not learn anything.
 */
export function hostInterfaceName(containerId: string, ifName: string): string {
  // 44 bits in 11 digits: with "veth" the 15 bytes of IFNAMSIZ - 1.
  return `veth${hash(`${containerId}:${ifName}`).toString(16).padStart(13, '0').slice(-11)}`;
}

/** Of a name of any length, for where there is room for so many letters only. */
export function networkHash(name: string): string {
  return hash(`network:${name}`).toString(16).padStart(14, '0');
}

/** Kubenet's 0a:58 and the address. The bridge's is that of the gateway, which no pod has. */
export function podMac(hostName: string, ip: Ip | undefined): Mac {
  return ip !== undefined && isIpv4(ip) ? macOf(0x58, lastBytes(ip)) : hashedMac(0x59, hostName);
}

export function bridgeMac(gateway: Ip): Mac {
  return macOf(isIpv4(gateway) ? 0x58 : 0x59, lastBytes(gateway));
}

/** Tells DEL the pod's address again (`addressOfHostMac`), so that it need not look through the whole store for it. */
export function hostMac(hostName: string, ip: Ip | undefined): Mac {
  return ip !== undefined && isIpv4(ip) ? macOf(0x5a, lastBytes(ip)) : hashedMac(0x5b, hostName);
}

export function addressOfHostMac(mac: Mac): Ip | undefined {
  const bytes = macToBytes(mac);
  if (bytes[0] !== PREFIX || bytes[1] !== 0x5a) return undefined;
  return ipFromBytes(4, bytes, 2);
}

/** The four that fit behind the prefix. */
function lastBytes(ip: Ip): number[] {
  return [...ipToBytes(ip).slice(-4)];
}

/** Unicast, locally administered. */
const PREFIX = 0x0a;

function macOf(second: number, rest: readonly number[]): Mac {
  return macFromBytes(Uint8Array.of(PREFIX, second, ...rest));
}

function hashedMac(second: number, text: string): Mac {
  const value = hash(`mac:${text}`);
  return macOf(
    second,
    [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) & 0xff),
  );
}

/** 53 bits out of two multiplicative hashes (cyrb53); no secret depends on it, and it saves loading node:crypto. */
export function hash(text: string): number {
  let high = 0xdeadbeef;
  let low = 0x41c6ce57;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    high = Math.imul(high ^ code, 2654435761);
    low = Math.imul(low ^ code, 1597334677);
  }
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909);
  return 4294967296 * (2097151 & low) + (high >>> 0);
}
