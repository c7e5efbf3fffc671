/** What a node is told whose public address another running one has. */
import { formatLeaseSubnets, type LeaseSubnets, type NodeAddresses } from '@flannel-ts/flannel/lease';
import { formatIp } from '@flannel-ts/inet/ip';
import { DaemonError } from '../../errors.ts';

export function heldByAnother(subnets: LeaseSubnets, own: NodeAddresses): DaemonError {
  return new DaemonError(
    'LEASE_TAKEN',
    `Another running flanneld holds the lease of ${formatLeaseSubnets(subnets)} with the public address ${addressOf(own)}, which is also this node's: give each node a public address of its own (-public-ip)`,
  );
}

export function addressOf({ publicIp, publicIpv6 }: NodeAddresses): string {
  const address = publicIp ?? publicIpv6;
  return address === undefined ? 'none' : formatIp(address);
}
