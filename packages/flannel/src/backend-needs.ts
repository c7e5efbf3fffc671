/**
 * What each backend needs of the network between the nodes and of their kernels. One table: the daemon, security groups and the
 * checks of settings follow from it. Facts: flannel's Documentation/backends.md and pkg/backend.
 */
import type { Family } from '@flannel-ts/inet/family';
import type { Port } from '@flannel-ts/inet/port';
import { type BackendConfig, type BackendType, DEFAULT_SOURCE_PORTS } from './backend-config.ts';
import {
  IPIP_OVERHEAD,
  UDP_OVERHEAD,
  UDP_OVERHEAD_IPV6,
  VXLAN_OVERHEAD,
  VXLAN_OVERHEAD_IPV6,
  WIREGUARD_OVERHEAD,
} from './defaults.ts';

/** What packets of pods are wrapped in, between addresses of the family `outer`. */
export type Carrier = {
  /** Both directions run between the same two ports: to a stateful firewall they are one connection. */
  readonly symmetric: boolean;
} & (
  | { readonly outer: Family; readonly protocol: 'udp'; readonly port: Port }
  | { readonly outer: 4; readonly protocol: 'ipip' }
);

export interface BackendNeeds {
  /** What firewalls between the nodes have to let through; empty where packets of pods travel as they are. */
  readonly carriers: readonly Carrier[];
  /** Packets with pods' own addresses travel between nodes, too: checks of source and destination addresses have to be off. */
  readonly barePackets: boolean;
  /** All nodes must be neighbours: a router between them would have no route to pods. */
  readonly oneLink: boolean;
  /** Kind of the device that the kernel must have, as `ip link add ... type KIND` names it. */
  readonly linkKind?: string;
}

/** The protocol number of IPv4 in IPv4 (RFC 2003). */
export const IPIP_PROTOCOL = 4;

/** `outer`: the families by whose addresses nodes reach each other, as outerFamilies() of the network config says. */
export function backendNeeds(backend: BackendConfig, outer: readonly Family[]): BackendNeeds {
  const inUdp = (port: (family: Family) => Port, symmetric: boolean): Carrier[] =>
    outer.map((family) => ({ outer: family, protocol: 'udp', port: port(family), symmetric }));
  switch (backend.type) {
    case 'udp':
      return {
        carriers: inUdp(() => backend.port, (backend.sourcePorts ?? DEFAULT_SOURCE_PORTS) === 1),
        barePackets: false,
        oneLink: false,
      };
    case 'vxlan':
      return {
        // The kernel derives the source port from the inner flow (RFC 7348, 5).
        carriers: inUdp(() => backend.port, false),
        barePackets: backend.directRouting,
        oneLink: false,
        linkKind: 'vxlan',
      };
    case 'ipip':
      return {
        carriers: outer.includes(4) ? [{ outer: 4, protocol: 'ipip', symmetric: true }] : [],
        barePackets: backend.directRouting,
        oneLink: false,
        linkKind: 'ipip',
      };
    case 'wireguard': {
      const portOf = (family: Family) =>
        family === 6 && backend.mode === 'separate' ? backend.listenPortV6 : backend.listenPort;
      return { carriers: inUdp(portOf, true), barePackets: false, oneLink: false, linkKind: 'wireguard' };
    }
    case 'host-gw':
      return { carriers: [], barePackets: true, oneLink: true };
    case 'alloc':
      // Whatever carries the packets, flannel wraps them in nothing.
      return { carriers: [], barePackets: true, oneLink: false };
  }
}

const OVERHEAD: Readonly<Record<BackendType, Readonly<Record<Family, number>>>> = {
  udp: { 4: UDP_OVERHEAD, 6: UDP_OVERHEAD_IPV6 },
  vxlan: { 4: VXLAN_OVERHEAD, 6: VXLAN_OVERHEAD_IPV6 },
  ipip: { 4: IPIP_OVERHEAD, 6: IPIP_OVERHEAD },
  wireguard: { 4: WIREGUARD_OVERHEAD, 6: WIREGUARD_OVERHEAD },
  'host-gw': { 4: 0, 6: 0 },
  alloc: { 4: 0, 6: 0 },
};

/** How many bytes the backend adds to each packet, between addresses of this family. */
export function backendOverhead(type: BackendType, outer: Family): number {
  return OVERHEAD[type][outer];
}

/** What is left for packets inside, where the interface between the nodes has this MTU and the config does not say another one. */
export function innerMtu(backend: BackendConfig, outer: Family, mtu: number): number {
  const configured = 'mtu' in backend ? backend.mtu : undefined;
  return (configured ?? mtu) - backendOverhead(backend.type, outer);
}

/** For messages, like `UDP port 8472`; each text once, whatever the families. */
export function describeCarriers(carriers: readonly Carrier[]): string {
  const names = carriers.map((carrier) =>
    carrier.protocol === 'udp' ? `UDP port ${carrier.port}` : `IP protocol ${IPIP_PROTOCOL} (IPIP)`,
  );
  return [...new Set(names)].join(' and ');
}
