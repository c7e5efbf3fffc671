/** What each backend asks of the network between the nodes, and of their kernels. Pure: rules and checks follow from it. */
import type { BackendConfig } from '@flannel-ts/flannel/backend-config';

/** How nodes wrap packets for each other: in UDP, or in IPv4 alone (protocol 4, RFC 2003). */
export type Encapsulation = { readonly udpPort: number } | { readonly ipProtocol: number };

export interface UnderlayNeeds {
  readonly encapsulation?: Encapsulation;
  /** Packets with pods' own addresses travel between nodes, too. */
  readonly barePackets: boolean;
  /** All nodes must be neighbours: there is no encapsulation for those behind a router. */
  readonly oneLink: boolean;
  /** Kind of the device that the kernel must have, as `ip link add ... type KIND` names it. */
  readonly linkKind?: string;
}

const IPIP_PROTOCOL = 4;

/** For nodes with IPv4 addresses: what goes over IPv6 is not in it. */
export function underlayNeeds(backend: BackendConfig): UnderlayNeeds {
  switch (backend.type) {
    case 'udp':
      return { encapsulation: { udpPort: backend.port }, barePackets: false, oneLink: false };
    case 'vxlan':
      return {
        encapsulation: { udpPort: backend.port },
        barePackets: backend.directRouting,
        oneLink: false,
        linkKind: 'vxlan',
      };
    case 'ipip':
      return {
        encapsulation: { ipProtocol: IPIP_PROTOCOL },
        barePackets: backend.directRouting,
        oneLink: false,
        linkKind: 'ipip',
      };
    case 'wireguard':
      return {
        encapsulation: { udpPort: backend.listenPort },
        barePackets: false,
        oneLink: false,
        linkKind: 'wireguard',
      };
    case 'host-gw':
      return { barePackets: true, oneLink: true };
    case 'alloc':
      return { barePackets: false, oneLink: false };
  }
}
