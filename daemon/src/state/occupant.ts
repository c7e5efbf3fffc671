/** Devices of others that keep the kernel from making ours. Pure. */
import { isIpv6 } from '@flannel-ts/inet/ip';
import type { IpipData, Link, VxlanData } from '@flannel-ts/rtnetlink/link';
import { DaemonError } from '../errors.ts';
import type { KernelLink } from './change.ts';

/** Whether the kernel refuses a device beside this one (vxlan_config_validate() and ip_tunnel_newlink() of the kernel). */
export function isInPlaceOf(wanted: KernelLink, { data }: Link): boolean {
  if (wanted.kind === 'vxlan' && data?.kind === 'vxlan') {
    return data.vni === wanted.vni && data.port === wanted.port && usesIpv6(data) === isIpv6(wanted.local);
  }
  return wanted.kind === 'ipip' && data?.kind === 'ipip' && hasSameEnds(wanted.local, data);
}

/** Ours, under another name: nobody else's has the MAC address by which other nodes know this one. */
export function isOwnRenamed(wanted: KernelLink, { mac }: Link): boolean {
  return wanted.kind === 'vxlan' && mac === wanted.mac;
}

export function describeOccupant(wanted: KernelLink, { name }: Link): DaemonError {
  const remove = `remove it with "ip link delete ${name}"`;
  const sentence =
    wanted.kind === 'vxlan'
      ? `device ${name} has VNI ${wanted.vni} and port ${wanted.port} already: ${remove}, or set another Backend.VNI`
      : `device ${name} is a tunnel with the same local address already: ${remove}`;
  return new DaemonError('KERNEL', `Cannot make device ${wanted.name}: ${sentence}`);
}

function usesIpv6({ local, group }: VxlanData): boolean {
  const address = local ?? group;
  return address !== undefined && isIpv6(address);
}

function hasSameEnds(local: number, data: IpipData): boolean {
  return data.local === local && data.remote === undefined;
}
