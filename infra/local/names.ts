/**
 * Where the local environment keeps things. Namespaces are named `flannel.STACK.PART`: neither part may hold a dot, so a
 * name says to which stack it belongs, even when one stack's name begins with another's.
 */
import { formatIp, ipToBytes } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { type Mac, macFromBytes } from '@flannel-ts/inet/mac';

export const NETNS_ROOT = '/run/netns';
export const STATE_ROOT = '/var/lib/flannel-local';
/** The namespace that stands for the VPC, and the bridge in it to which every machine is connected. */
export const VPC = 'vpc';
export const VPC_BRIDGE = 'vpc0';
/** The one interface of a machine. */
export const MACHINE_INTERFACE = 'eth0';

export function netnsName(stack: string, part: string): string {
  return `flannel.${stack}.${part}`;
}

export function netnsPath(stack: string, part: string): string {
  return `${NETNS_ROOT}/${netnsName(stack, part)}`;
}

/** Undefined for a namespace that is not ours. */
export function parseNetnsName(name: string): { stack: string; part: string } | undefined {
  const match = /^flannel\.([a-z][a-z0-9-]*)\.([a-z0-9-]+)$/.exec(name);
  return match ? { stack: match[1]!, part: match[2]! } : undefined;
}

export function stackDirectory(stack: string): string {
  return `${STATE_ROOT}/${stack}`;
}

/** What is `/` on a real machine: its configuration, its logs, its software. */
export function machineRoot(stack: string, machine: string): string {
  return `${stackDirectory(stack)}/nodes/${machine}`;
}

/** Parent of the control groups of a machine's pods, below each hierarchy. */
export function controlGroup(stack: string, machine: string): string {
  return `/${netnsName(stack, machine)}`;
}

/** The artifacts of a stack, one directory per sha256, as a bucket would hold them. */
export function artifactPath(stack: string, sha256: string, file: string): string {
  return `${stackDirectory(stack)}/artifacts/${sha256}/${file}`;
}

/** The machine's port at the bridge: unique by its address, and within the 15 characters a link's name may have. */
export function portName(address: Ipv4): string {
  return `p${address.toString(16).padStart(8, '0')}`;
}

/**
 * The same for every machine at this address: others remember it for half a minute (ARP), and would not find a machine that
 * took the place of one they knew. Locally administered, like the addresses a cloud gives.
 */
export function machineMac(address: Ipv4): Mac {
  return macFromBytes(Uint8Array.of(0x02, 0x00, ...ipToBytes(address)));
}

/** Names one machine at one address; whatever lives on it is replaced when this changes. */
export function machineId(stack: string, machine: string, address: Ipv4): string {
  return `${netnsName(stack, machine)}@${formatIp(address)}`;
}
