/** Links as bytes: `struct ifinfomsg { u8 family; u8 pad; u16 type; s32 index; u32 flags; u32 change; }` and IFLA_*. */
import type { Ip } from '@flannel-ts/inet/ip';
import { type Mac, macFromBytes } from '@flannel-ts/inet/mac';
import {
  type Attributes,
  attributeNested,
  attributeU8,
  parseAttributes,
  readBe16,
  readNested,
  readS32,
  readString,
  readU8,
  readU16,
  readU32,
  viewOf,
} from './attributes.ts';
import * as c from './constants.ts';
import { checkLength } from './errors.ts';
import { readIp } from './family.ts';

export const IFINFOMSG_LENGTH = 16;

/** RFC 2863 operational states, in the order of linux/if.h (IF_OPER_*). */
const OPER_STATES = ['unknown', 'not-present', 'down', 'lower-layer-down', 'testing', 'dormant', 'up'] as const;
export type OperState = (typeof OPER_STATES)[number];

/** How a link gets its IPv6 link-local address, in the order of linux/if_link.h (IN6_ADDR_GEN_MODE_*). */
const ADDRESS_GENERATIONS = ['eui64', 'none', 'stable-privacy', 'random'] as const;
export type AddressGeneration = (typeof ADDRESS_GENERATIONS)[number];

export interface BridgeData {
  readonly kind: 'bridge';
  readonly stp: boolean;
  readonly vlanFiltering: boolean;
  readonly multicastSnooping: boolean;
  readonly defaultPvid: number;
}

export interface VxlanData {
  readonly kind: 'vxlan';
  readonly vni: number;
  readonly port: number;
  /** Index of the device that carries the outer packets. */
  readonly device: number | undefined;
  readonly local: Ip | undefined;
  readonly group: Ip | undefined;
  /** Of outer packets; 0: the kernel's default. */
  readonly ttl: number;
  /** The inner packet's. */
  readonly inheritsTtl: boolean;
  /** Of outer packets; 1: the inner packet's. */
  readonly tos: number;
  /** Whether outer IPv4 packets may be fragmented, in the order of linux/if_link.h (VXLAN_DF_*): unset, set, the inner packet's. */
  readonly df: number;
  readonly learning: boolean;
  /** Answers ARP and NDP itself. */
  readonly proxy: boolean;
  /** Short-circuits routes. */
  readonly rsc: boolean;
  /** Routes and programs say where to, and no forwarding entry does. */
  readonly external: boolean;
  readonly l2Miss: boolean;
  readonly l3Miss: boolean;
  /** Of outer IPv4 packets. */
  readonly udpChecksum: boolean;
  /** Outer IPv6 packets are sent without a UDP checksum. */
  readonly zeroChecksum6Sent: boolean;
  /** Outer IPv6 packets without a UDP checksum are accepted. */
  readonly zeroChecksum6Accepted: boolean;
  readonly gbp: boolean;
}

/** An IPv4-in-IPv4 tunnel. */
export interface IpipData {
  readonly kind: 'ipip';
  /** Index of the device that carries the outer packets, if it is bound to one. */
  readonly device: number | undefined;
  /** Undefined: any address. */
  readonly local: Ip | undefined;
  /** Undefined: any; each packet's next hop says where to send it. */
  readonly remote: Ip | undefined;
  /** 0: the inner packet's. */
  readonly ttl: number;
  /** Sets DF on every outer packet, instead of copying it from the inner one. */
  readonly pmtuDiscovery: boolean;
}

export interface TunData {
  readonly kind: 'tun';
  readonly tunKind: 'tun' | 'tap';
  readonly persist: boolean;
  readonly vnetHeader: boolean;
  readonly multiQueue: boolean;
  readonly queues: number | undefined;
}

export type LinkData = BridgeData | VxlanData | IpipData | TunData;

/** What a link is as a port of a bridge. */
export interface BridgePort {
  readonly hairpin: boolean;
  readonly isolated: boolean;
  readonly learning: boolean;
  readonly state: number;
}

export interface Link {
  readonly index: number;
  readonly name: string;
  /** `veth`, `bridge`, `vxlan`, `tun`, ...; undefined for hardware and lo. */
  readonly kind: string | undefined;
  readonly mtu: number;
  /** Administratively up (IFF_UP); `operState` says whether packets pass. */
  readonly up: boolean;
  /** Asks by ARP and NDP for neighbours (no IFF_NOARP); without it, every packet is sent to the device's own MAC address. */
  readonly arp: boolean;
  readonly flags: number;
  readonly operState: OperState;
  readonly mac: Mac | undefined;
  /** Index of the bridge (or bond, VRF) that it is a port of. */
  readonly master: number | undefined;
  /** IFLA_LINK: of a veth its peer, in the peer's namespace. */
  readonly peerIndex: number | undefined;
  /** Set if `peerIndex` counts in another namespace. */
  readonly peerNetnsId: number | undefined;
  readonly txQueueLength: number | undefined;
  readonly alias: string | undefined;
  readonly gsoMaxSize: number | undefined;
  readonly gsoMaxSegments: number | undefined;
  /** Undefined where the link has no IPv6. */
  readonly addressGeneration: AddressGeneration | undefined;
  readonly port: BridgePort | undefined;
  readonly data: LinkData | undefined;
}

export interface LinkHeader {
  readonly family?: number;
  readonly index?: number;
  readonly flags?: number;
  /** Mask of the flags to change. */
  readonly change?: number;
}

export function encodeLinkHeader(header: LinkHeader): Uint8Array {
  const bytes = new Uint8Array(IFINFOMSG_LENGTH);
  const view = viewOf(bytes);
  view.setUint8(0, header.family ?? c.AF_UNSPEC);
  view.setInt32(4, header.index ?? 0, true);
  view.setUint32(8, header.flags ?? 0, true);
  view.setUint32(12, header.change ?? 0, true);
  return bytes;
}

/** Reads the payload of RTM_NEWLINK and RTM_DELLINK. */
export function parseLink(payload: Uint8Array): Link {
  checkLength(payload, IFINFOMSG_LENGTH, 'read a link');
  const view = viewOf(payload);
  const flags = view.getUint32(8, true);
  const attributes = parseAttributes(payload.subarray(IFINFOMSG_LENGTH));
  const info = readNested(attributes, c.IFLA_LINKINFO);
  const kind = readString(info, c.IFLA_INFO_KIND);
  const hardware = attributes.get(c.IFLA_ADDRESS);
  return {
    index: view.getInt32(4, true),
    name: readString(attributes, c.IFLA_IFNAME) ?? '',
    kind,
    mtu: readU32(attributes, c.IFLA_MTU) ?? 0,
    up: (flags & c.IFF_UP) !== 0,
    arp: (flags & c.IFF_NOARP) === 0,
    flags,
    operState: OPER_STATES[readU8(attributes, c.IFLA_OPERSTATE) ?? 0] ?? 'unknown',
    // Tunnels have addresses of other lengths (an IPv4 address for ipip), which are no MAC.
    mac: hardware?.length === 6 ? macFromBytes(hardware) : undefined,
    master: readU32(attributes, c.IFLA_MASTER),
    peerIndex: readU32(attributes, c.IFLA_LINK),
    peerNetnsId: readS32(attributes, c.IFLA_LINK_NETNSID),
    txQueueLength: readU32(attributes, c.IFLA_TXQLEN),
    alias: readString(attributes, c.IFLA_IFALIAS),
    gsoMaxSize: readU32(attributes, c.IFLA_GSO_MAX_SIZE),
    gsoMaxSegments: readU32(attributes, c.IFLA_GSO_MAX_SEGS),
    addressGeneration: parseAddressGeneration(attributes),
    port: parsePort(info),
    data: parseLinkData(kind, readNested(info, c.IFLA_INFO_DATA)),
  };
}

/** `ip link set dev DEV addrgenmode MODE` */
export function encodeAddressGeneration(mode: AddressGeneration): Uint8Array {
  const inet6 = [attributeU8(c.IFLA_INET6_ADDR_GEN_MODE, ADDRESS_GENERATIONS.indexOf(mode))];
  return attributeNested(c.IFLA_AF_SPEC, [attributeNested(c.AF_INET6, inet6)]);
}

function parseAddressGeneration(attributes: Attributes): AddressGeneration | undefined {
  const mode = readU8(readNested(readNested(attributes, c.IFLA_AF_SPEC), c.AF_INET6), c.IFLA_INET6_ADDR_GEN_MODE);
  return mode === undefined ? undefined : ADDRESS_GENERATIONS[mode];
}

function parsePort(info: Attributes): BridgePort | undefined {
  if (readString(info, c.IFLA_INFO_SLAVE_KIND) !== 'bridge') return undefined;
  const port = readNested(info, c.IFLA_INFO_SLAVE_DATA);
  return {
    hairpin: readU8(port, c.IFLA_BRPORT_MODE) === 1,
    isolated: readU8(port, c.IFLA_BRPORT_ISOLATED) === 1,
    learning: readU8(port, c.IFLA_BRPORT_LEARNING) === 1,
    state: readU8(port, c.IFLA_BRPORT_STATE) ?? 0,
  };
}

function parseLinkData(kind: string | undefined, data: Attributes): LinkData | undefined {
  const isOn = (type: number): boolean => (readU8(data, type) ?? 0) !== 0;
  switch (kind) {
    case 'bridge':
      return {
        kind,
        stp: (readU32(data, c.IFLA_BR_STP_STATE) ?? 0) !== 0,
        vlanFiltering: isOn(c.IFLA_BR_VLAN_FILTERING),
        multicastSnooping: isOn(c.IFLA_BR_MCAST_SNOOPING),
        defaultPvid: readU16(data, c.IFLA_BR_VLAN_DEFAULT_PVID) ?? 0,
      };
    case 'vxlan':
      return {
        kind,
        vni: readU32(data, c.IFLA_VXLAN_ID) ?? 0,
        port: readBe16(data, c.IFLA_VXLAN_PORT) ?? 0,
        device: readU32(data, c.IFLA_VXLAN_LINK),
        local: readIp(data, c.IFLA_VXLAN_LOCAL, 4) ?? readIp(data, c.IFLA_VXLAN_LOCAL6, 6),
        group: readIp(data, c.IFLA_VXLAN_GROUP, 4) ?? readIp(data, c.IFLA_VXLAN_GROUP6, 6),
        ttl: readU8(data, c.IFLA_VXLAN_TTL) ?? 0,
        inheritsTtl: isOn(c.IFLA_VXLAN_TTL_INHERIT),
        tos: readU8(data, c.IFLA_VXLAN_TOS) ?? 0,
        df: readU8(data, c.IFLA_VXLAN_DF) ?? 0,
        learning: isOn(c.IFLA_VXLAN_LEARNING),
        proxy: isOn(c.IFLA_VXLAN_PROXY),
        rsc: isOn(c.IFLA_VXLAN_RSC),
        external: isOn(c.IFLA_VXLAN_COLLECT_METADATA),
        l2Miss: isOn(c.IFLA_VXLAN_L2MISS),
        l3Miss: isOn(c.IFLA_VXLAN_L3MISS),
        udpChecksum: isOn(c.IFLA_VXLAN_UDP_CSUM),
        zeroChecksum6Sent: isOn(c.IFLA_VXLAN_UDP_ZERO_CSUM6_TX),
        zeroChecksum6Accepted: isOn(c.IFLA_VXLAN_UDP_ZERO_CSUM6_RX),
        gbp: data.has(c.IFLA_VXLAN_GBP),
      };
    case 'ipip':
      return {
        kind,
        device: readU32(data, c.IFLA_IPTUN_LINK) || undefined,
        local: readIp(data, c.IFLA_IPTUN_LOCAL, 4) || undefined,
        remote: readIp(data, c.IFLA_IPTUN_REMOTE, 4) || undefined,
        ttl: readU8(data, c.IFLA_IPTUN_TTL) ?? 0,
        pmtuDiscovery: isOn(c.IFLA_IPTUN_PMTUDISC),
      };
    case 'tun':
      return {
        kind,
        tunKind: readU8(data, c.IFLA_TUN_TYPE) === 2 ? 'tap' : 'tun', // IFF_TUN 1, IFF_TAP 2
        persist: isOn(c.IFLA_TUN_PERSIST),
        vnetHeader: isOn(c.IFLA_TUN_VNET_HDR),
        multiQueue: isOn(c.IFLA_TUN_MULTI_QUEUE),
        queues: readU32(data, c.IFLA_TUN_NUM_QUEUES),
      };
    default:
      return undefined;
  }
}
