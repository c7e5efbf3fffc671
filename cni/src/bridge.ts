import { familyOf, isIpv6 } from '@flannel-ts/inet/ip';
import type { Mac } from '@flannel-ts/inet/mac';
import {
  formatInterfaceAddress,
  type InterfaceAddress,
  interfacePrefix,
  prefixesOverlap,
  sameInterfaceAddress,
} from '@flannel-ts/inet/prefix';
import { isErrno } from '@flannel-ts/linux/errors';
import { writeSysctl } from '@flannel-ts/linux/sysctl';
import { writeTextFile } from '@flannel-ts/linux/text-files';
import { ensureAddress, ensureAddressAbsent, listAddresses } from '@flannel-ts/rtnetlink/address';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import { isNetlinkError } from '@flannel-ts/rtnetlink/errors';
import { getLink, type Link, listLinks, setLink } from '@flannel-ts/rtnetlink/link';
import { addBridge, type BridgeSpec } from '@flannel-ts/rtnetlink/link-add';
import type { BridgeConfig } from './bridge-config.ts';
import { CniError, ErrorCode } from './errors.ts';
import { noVlans, requireVlanFiltering } from './vlan.ts';

const IFF_PROMISC = 0x100; // linux/if.h

/**
 * The bridge, made when the first pod needs it. Any number of ADDs may do this at the same time: each step is one that
 * may find its work done by another.
 */
export function ensureBridge(nl: Netlink, config: BridgeConfig, mac: Mac | undefined): Link {
  const bridge = getOrAddBridge(nl, { name: config.bridge, mac, ...(config.vlans && { vlanFiltering: true }) });
  if (bridge.kind !== 'bridge') {
    throw new CniError(ErrorCode.bridgeConflict, `"${config.bridge}" already exists but is not a bridge`);
  }
  if (config.vlans !== undefined) requireVlanFiltering(bridge);
  // A pod may send router advertisements; the host must not take its routes from them (CVE-2020-10749).
  setIpv6(config.bridge, 'accept_ra', 0);
  const promiscuous = config.promiscMode && (bridge.flags & IFF_PROMISC) === 0 ? true : undefined;
  const mtu = mtuChange(nl, bridge, config.mtu);
  // An address of its own keeps the bridge from taking the lowest one of its ports, which changes as pods come and go. One that
  // somebody else made may not have one: it keeps what it has at the moment, as with the reference plugin.
  const mayChange = config.isGateway ? bridge.mac !== mac : !bridge.up;
  const pinned = mayChange ? bridge.mac : undefined;
  if (!bridge.up || promiscuous || mtu !== undefined || pinned !== undefined) {
    setLink(nl, bridge.index, { up: true, promiscuous, mtu, mac: pinned });
  }
  return { ...bridge, up: true, mtu: mtu ?? bridge.mtu };
}

/**
 * A new bridge (it is down) gets its MTU after it is made: the kernel takes that for what the user wants to keep, but not the
 * MTU in the request that makes it, which follows the ports from then on (net/bridge/br_if.c, br_mtu_auto_adjust). One in
 * use is raised only when no older pod has a smaller one: a packet larger than that does not arrive.
 */
function mtuChange(nl: Netlink, bridge: Link, wanted: number | undefined): number | undefined {
  if (wanted === undefined || wanted === bridge.mtu) return undefined;
  if (!bridge.up || wanted < bridge.mtu) return wanted;
  const ports = listLinks(nl, { master: bridge.index });
  return ports.every(({ mtu }) => mtu >= wanted) ? wanted : undefined;
}

/** Not rtnetlink's ensureBridge: what stands in the way gets the reference plugin's sentence. */
function getOrAddBridge(nl: Netlink, spec: BridgeSpec): Link {
  const existing = getLink(nl, spec.name);
  if (existing !== undefined) return existing;
  try {
    return addBridge(nl, spec);
  } catch (error) {
    const link = isNetlinkError(error, 'EEXIST') ? getLink(nl, spec.name) : undefined;
    if (link !== undefined) return link;
    if (spec.vlanFiltering && isNetlinkError(error, 'EOPNOTSUPP')) throw noVlans(spec.name, error);
    throw error;
  }
}

/** The subnet's first address on the bridge, so that pods reach the node and the node routes for them. */
export function ensureGateway(nl: Netlink, bridge: Link, gateway: InterfaceAddress, forceAddress: boolean): void {
  const family = familyOf(gateway.address);
  for (const { address: other } of listAddresses(nl, { index: bridge.index, family })) {
    if (sameInterfaceAddress(other, gateway)) return;
    if (!isInTheWay(other, gateway)) continue;
    if (!forceAddress) {
      const wanted = formatInterfaceAddress(gateway);
      throw new CniError(
        ErrorCode.bridgeConflict,
        `"${bridge.name}" already has an IP address different from ${wanted}`,
        `it has ${formatInterfaceAddress(other)}; remove the bridge, or set forceAddress`,
      );
    }
    ensureAddressAbsent(nl, { index: bridge.index, address: other });
  }
  // A host may have IPv6 off for new devices (net.ipv6.conf.default.disable_ipv6); no address is accepted then.
  if (isIpv6(gateway.address)) setIpv6(bridge.name, 'disable_ipv6', 0);
  ensureAddress(nl, { index: bridge.index, address: gateway, broadcast: 'auto', noDad: isIpv6(gateway.address) });
}

/** Of the same family: a bridge has one IPv4 address, but several IPv6 addresses that do not overlap, one link-local. */
function isInTheWay(other: InterfaceAddress, wanted: InterfaceAddress): boolean {
  return !isIpv6(wanted.address) || prefixesOverlap(interfacePrefix(other), interfacePrefix(wanted));
}

export function enableForwarding(addresses: readonly InterfaceAddress[]): void {
  const families = new Set(addresses.map(({ address }) => familyOf(address)));
  if (families.has(4)) writeSysctl('net/ipv4/ip_forward', 1);
  if (families.has(6)) writeSysctl('net/ipv6/conf/all/forwarding', 1);
}

/** A parameter of a link in the thread's namespace; a kernel without IPv6 has none. */
export function setIpv6(link: string, parameter: string, value: number, isNew = false): void {
  const name = `net/ipv6/conf/${link}/${parameter}`;
  try {
    // Of a new link there is nothing to find out first.
    if (isNew) writeTextFile(`/proc/sys/${name}`, `${value}\n`, 0);
    else writeSysctl(name, value);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}
