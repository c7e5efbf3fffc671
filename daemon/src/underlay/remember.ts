/**
 * The addresses that this node used last, kept beside subnet.env, one per line: among several that fit, a restart chooses them again.
 * In /run, so that a reboot begins anew.
 */
import { readFileSync } from 'node:fs';
import { formatIp, type Ip, isIpText, parseIp } from '@flannel-ts/inet/ip';

export function addressFile(subnetFile: string): string {
  return `${subnetFile}.address`;
}

/** Empty when they are not known: that costs nothing but the preference. */
export function readLastAddresses(subnetFile: string): Ip[] {
  try {
    return readFileSync(addressFile(subnetFile), 'utf8')
      .split('\n')
      .filter((line) => isIpText(line))
      .map((line) => parseIp(line));
  } catch {
    return [];
  }
}

export function formatLastAddresses(addresses: readonly Ip[]): string {
  return addresses.map((address) => `${formatIp(address)}\n`).join('');
}
