/**
 * The pair of devices through which received packets go: its far end merges packets of a flow (GRO), as a network card does for packets
 * that are not in a tunnel. Without it each packet of a TCP stream would cross the node by itself.
 */
import { macToBytes } from '@flannel-ts/inet/mac';
import { isErrno } from '@flannel-ts/linux/errors';
import { writeSysctl } from '@flannel-ts/linux/sysctl';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import { openEthtool, setFeature } from '@flannel-ts/rtnetlink/features';
import { ensureLinkAbsent, getLink, type Link, setLink } from '@flannel-ts/rtnetlink/link';
import { addVeth } from '@flannel-ts/rtnetlink/link-add';

export interface Pair {
  readonly near: number;
  readonly far: number;
  readonly nearMac: Uint8Array;
  readonly farMac: Uint8Array;
}

/** The largest that a veth takes: what comes has passed the underlay's. */
const MTU = 65535;
const SEGMENTATION = [
  'tx-udp_tnl-segmentation',
  'tx-udp-segmentation',
  'tx-tcp-segmentation',
  'tx-tcp-ecn-segmentation',
  'tx-tcp-mangleid-segmentation',
  'tx-tcp6-segmentation',
];

export function pairNames(device: string): { readonly near: string; readonly far: string } {
  return { near: `${device}-dec`, far: `${device}-gro` };
}

/** Takes one over that is there. `queues`: packets of as many queues of the interface are handled side by side. */
export function ensurePair(nl: Netlink, device: string, queues: number): Pair {
  const names = pairNames(device);
  const near = findNear(nl, names) ?? makePair(nl, names, queues);
  const far = getLink(nl, names.far)!;
  for (const { name } of [near, far]) quieten(name);
  const ethtool = openEthtool();
  try {
    // A far end merges only what the near end could not have sent as super-packets (veth_skb_is_eligible_for_gro).
    for (const feature of SEGMENTATION) setFeature(ethtool, near.index, feature, false);
    setFeature(ethtool, far.index, 'rx-gro', true);
  } finally {
    ethtool.close();
  }
  for (const { index } of [far, near]) setLink(nl, index, { up: true });
  return { near: near.index, far: far.index, nearMac: macToBytes(near.mac!), farMac: macToBytes(far.mac!) };
}

export function removePair(nl: Netlink, device: string): boolean {
  return ensureLinkAbsent(nl, pairNames(device).near);
}

function findNear(nl: Netlink, names: { readonly near: string; readonly far: string }): Link | undefined {
  const near = getLink(nl, names.near);
  const far = getLink(nl, names.far);
  if (near?.kind === 'veth' && far !== undefined && near.peerIndex === far.index) return near;
  for (const link of [near, far]) if (link?.kind === 'veth') ensureLinkAbsent(nl, link.index);
  return undefined;
}

function makePair(nl: Netlink, { near, far }: { readonly near: string; readonly far: string }, queues: number): Link {
  return addVeth(nl, { name: near, mtu: MTU, queues, peer: { name: far, mtu: MTU, queues } });
}

/** No addresses, no discovery: nothing but what programs send there. */
function quieten(name: string): void {
  for (const [parameter, value] of [
    [`net/ipv6/conf/${name}/disable_ipv6`, 1],
    [`net/ipv4/conf/${name}/forwarding`, 0],
    // Datagrams that a program there leaves to the engine come by the way of another interface.
    [`net/ipv4/conf/${name}/rp_filter`, 2],
  ] as const) {
    try {
      writeSysctl(parameter, value);
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error; // no IPv6
    }
  }
}
