/** Reads, makes and changes devices. No decisions here. */
import { isIpv6, isLinkLocal } from '@flannel-ts/inet/ip';
import { withNetns } from '@flannel-ts/linux/enter-netns';
import { isErrno } from '@flannel-ts/linux/errors';
import { readSysctl, writeSysctl } from '@flannel-ts/linux/sysctl';
import { addAddress, deleteAddress, listAddresses } from '@flannel-ts/rtnetlink/address';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import { isNetlinkError } from '@flannel-ts/rtnetlink/errors';
import type { GenericFamily } from '@flannel-ts/rtnetlink/generic';
import {
  deleteLink,
  getLink,
  type IpipData,
  type Link,
  listLinks,
  setLink,
  type VxlanData,
} from '@flannel-ts/rtnetlink/link';
import { addIpip, addVxlan, addWireguard } from '@flannel-ts/rtnetlink/link-add';
import { getDevice, openWireguard, setDevice } from '@flannel-ts/wireguard/device';
import { DaemonError } from '../errors.ts';
import type { ActualIpv6Settings, ActualLink, ActualLinkAttributes } from './actual.ts';
import type { KernelLink, LinkChange } from './change.ts';
import type { LinkSettings } from './compare-link.ts';
import type { DesiredLink, VxlanAttributes } from './desired.ts';
import { describeOccupant, isInPlaceOf, isOwnRenamed } from './occupant.ts';
import { EndpointMemory } from './wireguard.ts';

export class KernelLinks {
  private wireguard: GenericFamily | undefined;
  private readonly endpoints = new EndpointMemory();
  /** Names of devices whose accept_ra cannot be set. */
  private readonly withoutSysctl = new Set<string>();

  constructor(
    private readonly nl: Netlink,
    private readonly netns: string | undefined,
  ) {}

  close(): void {
    this.wireguard?.close();
    this.wireguard = undefined;
  }

  read(wanted: DesiredLink): ActualLink | undefined {
    const link = getLink(this.nl, wanted.name);
    if (link === undefined) return undefined;
    const { name, index, mtu, up, arp, master: masterIndex, txQueueLength: queueLength } = link;
    const addresses = listAddresses(this.nl, { index })
      .map(({ address }) => address)
      .filter(({ address }) => !(isIpv6(address) && isLinkLocal(address)));
    const ipv6 = this.readIpv6Settings(link);
    const master = masterIndex === undefined ? undefined : (getLink(this.nl, masterIndex)?.name ?? `${masterIndex}`);
    return {
      name,
      index,
      mtu,
      up,
      arp,
      ...(master !== undefined && { master }),
      ...(queueLength !== undefined && { queueLength }),
      addresses,
      attributes: this.readAttributes(link, wanted),
      ...(ipv6 && { ipv6 }),
    };
  }

  apply(change: LinkChange): void {
    switch (change.type) {
      case 'add-link':
        this.make(change.link);
        break;
      case 'remake-link':
        this.remake(change.link);
        break;
      case 'set-link':
        this.set(change.link, change.settings);
        break;
      case 'set-wireguard':
        setDevice(this.openWireguard(), this.indexOf(change.link), change.change);
        this.endpoints.set(change.link, change.wanted);
        break;
      case 'add-address':
        // The address is nobody else's: it is of the subnet that this node has leased.
        tolerating('EEXIST', () =>
          addAddress(this.nl, { index: this.indexOf(change.link), address: change.address, noDad: true }),
        );
        break;
      case 'delete-address':
        tolerating('EADDRNOTAVAIL', () =>
          deleteAddress(this.nl, { index: this.indexOf(change.link), address: change.address }),
        );
    }
  }

  /** Throws when there is none. */
  indexOf(name: string): number {
    const link = getLink(this.nl, name);
    if (link === undefined) throw new DaemonError('KERNEL', `Device ${name} is gone`);
    return link.index;
  }

  private readAttributes(link: Link, wanted: DesiredLink): ActualLinkAttributes {
    const { kind, data, name, index, mac } = link;
    if (kind === 'tun') return { kind };
    if (data?.kind === 'ipip') {
      return { kind: 'ipip', local: data.local, remote: data.remote, oddities: ipipOddities(data) };
    }
    if (kind === 'wireguard' && wanted.kind === 'wireguard') {
      const device = getDevice(this.openWireguard(), index);
      return { kind, device, known: this.endpoints.see(name, wanted, device), readAt: Date.now() / 1000 };
    }
    if (data?.kind === 'vxlan') {
      const { vni, port, local, group, learning, gbp, device } = data;
      const omitsChecksums = !data.udpChecksum || data.zeroChecksum6Sent || data.zeroChecksum6Accepted;
      const parent = device === undefined ? undefined : getLink(this.nl, device)?.name;
      const oddities = vxlanOddities(data);
      return { kind: 'vxlan', mac, vni, port, parent, local, group, learning, gbp, omitsChecksums, oddities };
    }
    return { kind: 'other', description: kind === undefined ? 'no virtual device' : `a ${kind} device` };
  }

  private readIpv6Settings({ name, addressGeneration }: Link): ActualIpv6Settings | undefined {
    if (addressGeneration === undefined) return undefined;
    const acceptsAdvertisements = this.withoutSysctl.has(name) ? undefined : this.readAcceptRa(name);
    return {
      makesLinkLocal: addressGeneration !== 'none',
      ...(acceptsAdvertisements !== undefined && { acceptsAdvertisements }),
    };
  }

  private make(link: KernelLink): void {
    const { name, mtu } = link;
    switch (link.kind) {
      case 'vxlan':
        this.makeVxlan(link);
        break;
      case 'ipip':
        this.naming(link, () => addIpip(this.nl, { name, mtu, local: link.local }));
        break;
      case 'wireguard':
        addWireguard(this.nl, { name, mtu });
    }
  }

  private makeVxlan(link: KernelLink & VxlanAttributes): void {
    const { name, mtu, mac, vni, port, local, learning, gbp } = link;
    const device = this.parentOf(link);
    const spec = { name, mtu, mac, vni, port, local, learning, gbp, device, addressGeneration: 'none' } as const;
    this.naming(link, () => addVxlan(this.nl, spec));
    this.refuseAdvertisements(name);
  }

  /** What would make it impossible is looked at first: what is there may still carry packets. */
  private remake(link: KernelLink): void {
    if (link.kind === 'vxlan') this.parentOf(link);
    const occupant = this.occupantOf(link);
    if (occupant !== undefined) throw describeOccupant(link, occupant);
    deleteLink(this.nl, this.indexOf(link.name));
    this.make(link);
  }

  private set(name: string, settings: LinkSettings): void {
    const { mtu, mac, up, arp, leave, queueLength: txQueueLength, linkLocal, acceptRouterAdvertisements } = settings;
    const index = this.indexOf(name);
    // By itself: a VRF takes the device down and up again.
    if (leave !== undefined) setLink(this.nl, index, { master: 0 });
    if (acceptRouterAdvertisements === false) this.refuseAdvertisements(name);
    // Before it is up, which is when the kernel makes the address.
    if (linkLocal !== undefined) setLink(this.nl, index, { addressGeneration: linkLocal });
    try {
      const others = [mtu, mac, up, arp, txQueueLength];
      if (others.some((value) => value !== undefined)) setLink(this.nl, index, { mtu, mac, up, arp, txQueueLength });
    } catch (error) {
      // Vxlan and WireGuard devices open their socket when they are set up.
      if (!isNetlinkError(error, 'EADDRINUSE')) throw error;
      const remedy =
        'set another Backend.Port in the network config, or end what has this one, which "ss -ulpn" and "ip -d link" show';
      throw new DaemonError('KERNEL', `Cannot set up device ${name}: its UDP port is in use: ${remedy}`);
    }
  }

  private parentOf({ name, parent }: KernelLink & VxlanAttributes): number {
    const link = getLink(this.nl, parent);
    if (link === undefined)
      throw new DaemonError('KERNEL', `Cannot make device ${name}: its interface ${parent} is gone`);
    return link.index;
  }

  /** The kernel says that there is such a device, and not which. */
  private naming(link: KernelLink, make: () => void): void {
    try {
      make();
    } catch (error) {
      const occupant = isNetlinkError(error, 'EEXIST') ? this.occupantOf(link) : undefined;
      if (occupant === undefined) throw error;
      if (!isOwnRenamed(link, occupant)) throw describeOccupant(link, occupant);
      deleteLink(this.nl, occupant.index);
      make();
    }
  }

  private occupantOf(link: KernelLink): Link | undefined {
    return listLinks(this.nl, { kind: link.kind }).find(
      (other) => other.name !== link.name && isInPlaceOf(link, other),
    );
  }

  private refuseAdvertisements(name: string): void {
    try {
      this.inNamespace(() => writeSysctl(acceptRa(name), 0));
    } catch (error) {
      // As in a container that is not privileged. Without a link-local address the device sends no request for them either.
      if (!isErrno(error, 'ENOENT', 'EROFS', 'EACCES', 'EPERM')) throw error;
      this.withoutSysctl.add(name);
    }
  }

  private readAcceptRa(name: string): boolean | undefined {
    try {
      return this.inNamespace(() => readSysctl(acceptRa(name))) !== '0';
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'EACCES')) throw error;
      return undefined;
    }
  }

  private inNamespace<T>(run: () => T extends PromiseLike<unknown> ? never : T): T {
    return this.netns === undefined ? run() : withNetns(this.netns, run);
  }

  private openWireguard(): GenericFamily {
    this.wireguard ??= openWireguard({ netns: this.netns });
    return this.wireguard;
  }
}

function vxlanOddities({ ttl, inheritsTtl, tos, df, proxy, rsc, l2Miss, l3Miss, external }: VxlanData): string[] {
  return [
    ...(ttl === 0 ? [] : [`ttl ${ttl}`]),
    ...(inheritsTtl ? ['ttl inherit'] : []),
    ...(tos === 0 ? [] : [`tos 0x${tos.toString(16)}`]),
    ...(df === 0 ? [] : [`df ${df === 1 ? 'set' : 'inherit'}`]),
    ...Object.entries({ proxy, rsc, l2miss: l2Miss, l3miss: l3Miss, external }).flatMap(([name, on]) =>
      on ? [name] : [],
    ),
  ];
}

function ipipOddities({ ttl, pmtuDiscovery }: IpipData): string[] {
  return [...(ttl === 0 ? [] : [`ttl ${ttl}`]), ...(pmtuDiscovery ? ['pmtudisc'] : [])];
}

function acceptRa(name: string): string {
  return `net/ipv6/conf/${name}/accept_ra`;
}

function tolerating(code: string, run: () => void): void {
  try {
    run();
  } catch (error) {
    if (!isNetlinkError(error, code)) throw error;
  }
}
