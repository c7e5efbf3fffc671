/**
 * The address that this node used last, kept beside subnet.env: among several that fit, a restart goes on with it. In /run, so
 * that a reboot begins anew.
 */
import { readFileSync } from 'node:fs';
import { formatIp, type Ip, parseIp } from '@flannel-ts/inet/ip';

export function addressFile(subnetFile: string): string {
  return `${subnetFile}.address`;
}

/** Undefined when it is not known: that costs nothing but the preference. */
export function readLastAddress(subnetFile: string): Ip | undefined {
  try {
    return parseIp(readFileSync(addressFile(subnetFile), 'utf8').trim());
  } catch {
    return undefined;
  }
}

export function formatLastAddress(address: Ip): string {
  return `${formatIp(address)}\n`;
}
