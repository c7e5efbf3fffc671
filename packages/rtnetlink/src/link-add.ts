/** New links: `ip link add`. Every function returns the link it made, as the kernel shows it. */
import { type Ip, ipToBytes, isIpv6 } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { type Mac, macToBytes } from '@flannel-ts/inet/mac';
import { withNetnsFd } from '@flannel-ts/linux/enter-netns';
import type { Fd } from '@flannel-ts/linux/files';
import {
  attribute,
  attributeBe16,
  attributeFlag,
  attributeNested,
  attributeString,
  attributeU8,
  attributeU16,
  attributeU32,
  concatBytes,
} from './attributes.ts';
import type { Netlink } from './connection.ts';
import * as c from './constants.ts';
import { isNetlinkError, MissingLinkKindError, NetlinkError } from './errors.ts';
import { getLink, type Link, setLink } from './link.ts';
import { type AddressGeneration, encodeLinkHeader } from './link-codec.ts';
import { checkLinkName } from './link-name.ts';
import { NLM_F_CREATE, NLM_F_EXCL } from './message.ts';

export interface LinkSpec {
  readonly name: string;
  readonly mtu?: number | undefined;
  readonly mac?: Mac | undefined;
  /** Up from the start; saves a request. */
  readonly up?: boolean | undefined;
  readonly master?: number | undefined;
  readonly txQueueLength?: number | undefined;
  /** In each direction; a veth has one by default, whatever the number of processors. */
  readonly queues?: number | undefined;
  /**
   * `none`: no IPv6 link-local address, ever. The kernel takes this for a link that exists only, so that the link is made down, and
   * set up last. Ignored where there is no IPv6.
   */
  readonly addressGeneration?: AddressGeneration | undefined;
}

export interface BridgeSpec extends LinkSpec {
  readonly vlanFiltering?: boolean | undefined;
  readonly stp?: boolean | undefined;
  readonly multicastSnooping?: boolean | undefined;
  /** 0: ports have no VLAN of their own. */
  readonly defaultPvid?: number | undefined;
}

/**
 * The kernel sets up the peer before it joins the two: it cannot be `up` from the start (ENOTCONN) and no port of a
 * bridge (ignored). Use setLink() afterwards.
 */
export interface VethPeerSpec extends Omit<LinkSpec, 'up' | 'master'> {
  /** The namespace in which the peer is made, by path or descriptor; nothing has to be moved afterwards. */
  readonly netns?: string | Fd | undefined;
}

export interface VethSpec extends LinkSpec {
  readonly peer: VethPeerSpec;
}

export interface VxlanSpec extends LinkSpec {
  readonly vni: number;
  /** Index of the device that carries the outer packets. */
  readonly device?: number | undefined;
  readonly local?: Ip | undefined;
  /** UDP destination port; the kernel's default is 8472, not IANA's 4789. */
  readonly port?: number | undefined;
  readonly learning?: boolean | undefined;
  /** Of outer IPv4 packets. */
  readonly udpChecksum?: boolean | undefined;
  /** Send outer IPv6 packets without a UDP checksum. */
  readonly zeroChecksum6Sent?: boolean | undefined;
  /** Accept outer IPv6 packets without a UDP checksum. */
  readonly zeroChecksum6Accepted?: boolean | undefined;
  /** Group policy extension: carries the packet mark's group id to the peer. */
  readonly gbp?: boolean | undefined;
}

export interface IpipSpec extends LinkSpec {
  /** Index of the device that carries the outer packets. */
  readonly device?: number | undefined;
  readonly local?: Ipv4 | undefined;
  /** Without it, packets go to the next hop of their route, and are accepted from everybody. */
  readonly remote?: Ipv4 | undefined;
  /** 1 to 255; by default the inner packet's. Any other value needs `pmtuDiscovery`. */
  readonly ttl?: number | undefined;
  /** Set DF on every outer packet, instead of copying it from the inner one. Off by default, unlike ip(8). */
  readonly pmtuDiscovery?: boolean | undefined;
}

/** `ip link add NAME type dummy` */
export function addDummy(nl: Netlink, spec: LinkSpec): Link {
  return addLink(nl, spec, 'dummy', []);
}

/** `ip link add NAME type ifb`: what is redirected to it is as if it left by it. */
export function addIfb(nl: Netlink, spec: LinkSpec): Link {
  return addLink(nl, spec, 'ifb', []);
}

/**
 * `ip link add NAME` [`mtu N`] `type bridge` [`vlan_filtering 1`]. The bridge follows the least MTU of its ports from the
 * first one on (br_mtu_auto_adjust), until setLink() gives it a different MTU: that pins it.
 */
export function addBridge(nl: Netlink, spec: BridgeSpec): Link {
  const data: Uint8Array[] = [];
  if (spec.stp !== undefined) data.push(attributeU32(c.IFLA_BR_STP_STATE, Number(spec.stp)));
  if (spec.vlanFiltering !== undefined) data.push(attributeU8(c.IFLA_BR_VLAN_FILTERING, Number(spec.vlanFiltering)));
  if (spec.multicastSnooping !== undefined) {
    data.push(attributeU8(c.IFLA_BR_MCAST_SNOOPING, Number(spec.multicastSnooping)));
  }
  if (spec.defaultPvid !== undefined) data.push(attributeU16(c.IFLA_BR_VLAN_DEFAULT_PVID, spec.defaultPvid));
  return addLink(nl, spec, 'bridge', data);
}

/** The bridge of this name, added if there is none. A link of another kind under that name is an error. */
export function ensureBridge(nl: Netlink, spec: BridgeSpec): Link {
  const existing = getLink(nl, spec.name) ?? addUnlessThere(nl, spec);
  if (existing.kind !== 'bridge') {
    const kind = existing.kind ?? 'no virtual link';
    throw new NetlinkError('EEXIST', `make bridge ${spec.name}`, `a link of this name exists already and is ${kind}`);
  }
  return existing;
}

/**
 * `ip link add NAME` [`mtu N`] `type veth peer name PEER` [`netns NS`]. Returns the end in the connection's namespace. For
 * EEXIST the kernel does not say which of the two names is in use: ask with getLink().
 */
export function addVeth(nl: Netlink, spec: VethSpec): Link {
  const { peer } = spec;
  checkLinkName(peer.name, `add veth ${spec.name}`);
  const add = (netnsFd: number | undefined): Link => {
    const attributes = specAttributes(peer);
    if (netnsFd !== undefined) attributes.push(attributeU32(c.IFLA_NET_NS_FD, netnsFd));
    // VETH_INFO_PEER is not only attributes: an ifinfomsg stands before them.
    const info = concatBytes([specHeader(peer), ...attributes]);
    return addLink(nl, spec, 'veth', [attribute(c.VETH_INFO_PEER, info)]);
  };
  return peer.netns === undefined ? add(undefined) : withNetnsFd(peer.netns, add);
}

/**
 * `ip link add NAME type vxlan id VNI` [`dev DEV`] [`local IP`] [`dstport PORT`] [`nolearning`] [`gbp`]
 */
export function addVxlan(nl: Netlink, spec: VxlanSpec): Link {
  const data = [attributeU32(c.IFLA_VXLAN_ID, spec.vni)];
  if (spec.device !== undefined) data.push(attributeU32(c.IFLA_VXLAN_LINK, spec.device));
  if (spec.local !== undefined) {
    const type = isIpv6(spec.local) ? c.IFLA_VXLAN_LOCAL6 : c.IFLA_VXLAN_LOCAL;
    data.push(attribute(type, ipToBytes(spec.local)));
  }
  // Without this attribute the kernel learns: the opposite of what a network with a control plane wants.
  data.push(attributeU8(c.IFLA_VXLAN_LEARNING, Number(spec.learning ?? false)));
  if (spec.port !== undefined) data.push(attributeBe16(c.IFLA_VXLAN_PORT, spec.port));
  if (spec.udpChecksum !== undefined) data.push(attributeU8(c.IFLA_VXLAN_UDP_CSUM, Number(spec.udpChecksum)));
  if (spec.zeroChecksum6Sent !== undefined) {
    data.push(attributeU8(c.IFLA_VXLAN_UDP_ZERO_CSUM6_TX, Number(spec.zeroChecksum6Sent)));
  }
  if (spec.zeroChecksum6Accepted !== undefined) {
    data.push(attributeU8(c.IFLA_VXLAN_UDP_ZERO_CSUM6_RX, Number(spec.zeroChecksum6Accepted)));
  }
  if (spec.gbp) data.push(attributeFlag(c.IFLA_VXLAN_GBP));
  return addLink(nl, spec, 'vxlan', data);
}

/**
 * `ip link add NAME type ipip` [`dev DEV`] [`local IP`] [`remote IP`] [`ttl N`] `nopmtudisc`. The first one in a kernel also makes
 * a link `tunl0` in every namespace, which accepts what no other tunnel does; it is down.
 */
export function addIpip(nl: Netlink, spec: IpipSpec): Link {
  const data: Uint8Array[] = [];
  if (spec.device !== undefined) data.push(attributeU32(c.IFLA_IPTUN_LINK, spec.device));
  if (spec.local !== undefined) data.push(attribute(c.IFLA_IPTUN_LOCAL, ipToBytes(spec.local)));
  if (spec.remote !== undefined) data.push(attribute(c.IFLA_IPTUN_REMOTE, ipToBytes(spec.remote)));
  if (spec.ttl !== undefined) data.push(attributeU8(c.IFLA_IPTUN_TTL, spec.ttl));
  // Without this attribute the kernel turns it on.
  data.push(attributeU8(c.IFLA_IPTUN_PMTUDISC, Number(spec.pmtuDiscovery ?? false)));
  return addLink(nl, spec, 'ipip', data);
}

/** `ip link add NAME type wireguard`. Keys and peers come by a protocol of their own. */
export function addWireguard(nl: Netlink, spec: LinkSpec): Link {
  return addLink(nl, spec, 'wireguard', []);
}

/**
 * Whether links of a kind can be made; the kernel loads the module if it finds it. It looks at the kind first and then at the name,
 * which is one that it refuses: nothing is made.
 */
export function hasLinkKind(nl: Netlink, kind: string): boolean {
  try {
    requestLink(nl, [encodeLinkHeader({}), attributeString(c.IFLA_IFNAME, '.')], kind, [], `look for ${kind} links`);
    return true;
  } catch (error) {
    if (error instanceof MissingLinkKindError) return false;
    // EEXIST: a tunnel with the same ends, which is what there is of ipip as soon as its module is loaded.
    if (isNetlinkError(error, 'EINVAL', 'EEXIST')) return true;
    throw error;
  }
}

function addLink(nl: Netlink, spec: LinkSpec, kind: string, data: readonly Uint8Array[]): Link {
  const operation = `add ${kind} ${spec.name}`;
  checkLinkName(spec.name, operation);
  const { up, addressGeneration } = spec;
  const inTwoSteps = addressGeneration !== undefined;
  const created = inTwoSteps ? { ...spec, up: undefined } : spec;
  requestLink(nl, [specHeader(created), ...specAttributes(created)], kind, data, operation);
  if (inTwoSteps) {
    const { index } = addedLink(nl, spec, operation);
    setAddressGeneration(nl, index, addressGeneration);
    if (up) setLink(nl, index, { up });
  }
  return addedLink(nl, spec, operation);
}

function requestLink(
  nl: Netlink,
  parts: readonly Uint8Array[],
  kind: string,
  data: readonly Uint8Array[],
  operation: string,
): void {
  const info = [attributeString(c.IFLA_INFO_KIND, kind)];
  if (data.length > 0) info.push(attributeNested(c.IFLA_INFO_DATA, data));
  try {
    nl.request({
      type: c.RTM_NEWLINK,
      flags: NLM_F_CREATE | NLM_F_EXCL,
      parts: [...parts, attributeNested(c.IFLA_LINKINFO, info)],
      operation,
    });
  } catch (error) {
    // Other reasons for this code have other words; kernels before 4.19 have none.
    const unknown = isNetlinkError(error, 'EOPNOTSUPP') && (error.extack ?? UNKNOWN_KIND) === UNKNOWN_KIND;
    throw unknown ? new MissingLinkKindError(kind, operation) : error;
  }
}

/** The kernel's words in rtnl_newlink(). */
const UNKNOWN_KIND = 'Unknown device type';

function addedLink(nl: Netlink, { name }: LinkSpec, operation: string): Link {
  const link = getLink(nl, name);
  if (link) return link;
  throw new NetlinkError('ENODEV', operation, 'it was added, and then deleted or renamed by another program');
}

function setAddressGeneration(nl: Netlink, index: number, addressGeneration: AddressGeneration): void {
  try {
    setLink(nl, index, { addressGeneration });
  } catch (error) {
    // This kernel, or a link of this MTU, has no IPv6.
    if (!isNetlinkError(error, 'EAFNOSUPPORT')) throw error;
  }
}

function addUnlessThere(nl: Netlink, spec: BridgeSpec): Link {
  try {
    return addBridge(nl, spec);
  } catch (error) {
    // Another process made it in between, which is as good.
    const link = isNetlinkError(error, 'EEXIST') ? getLink(nl, spec.name) : undefined;
    if (link) return link;
    throw error;
  }
}

function specHeader(spec: LinkSpec): Uint8Array {
  return encodeLinkHeader(spec.up === undefined ? {} : { flags: spec.up ? c.IFF_UP : 0, change: c.IFF_UP });
}

function specAttributes(spec: LinkSpec): Uint8Array[] {
  const attributes = [attributeString(c.IFLA_IFNAME, spec.name)];
  if (spec.mtu !== undefined) attributes.push(attributeU32(c.IFLA_MTU, spec.mtu));
  if (spec.mac !== undefined) attributes.push(attribute(c.IFLA_ADDRESS, macToBytes(spec.mac)));
  if (spec.master !== undefined) attributes.push(attributeU32(c.IFLA_MASTER, spec.master));
  if (spec.queues !== undefined) {
    attributes.push(attributeU32(c.IFLA_NUM_TX_QUEUES, spec.queues), attributeU32(c.IFLA_NUM_RX_QUEUES, spec.queues));
  }
  if (spec.txQueueLength !== undefined) attributes.push(attributeU32(c.IFLA_TXQLEN, spec.txQueueLength));
  return attributes;
}
