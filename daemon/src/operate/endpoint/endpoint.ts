/**
 * A pod of our own: a network namespace without a process behind the bridge of pods, with the last usable address of the node's
 * subnet. What is sent from it goes the way that pods' packets go. It has no name and ends with flanneld.
 */
import type { Family } from '@flannel-ts/inet/family';
import { familyOf, formatIp, type Ip } from '@flannel-ts/inet/ip';
import { addressAt, lastAddress, type Prefix } from '@flannel-ts/inet/prefix';
import { closeFd, type Fd } from '@flannel-ts/linux/files';
import { netnsPathOf, openNewNetns, withNetns } from '@flannel-ts/linux/netns';
import { addAddress, listAddresses } from '@flannel-ts/rtnetlink/address';
import { type Netlink, withNetlink } from '@flannel-ts/rtnetlink/connection';
import { ensureLinkAbsent, getLink, setLink } from '@flannel-ts/rtnetlink/link';
import { addVeth } from '@flannel-ts/rtnetlink/link-add';
import { addRoute } from '@flannel-ts/rtnetlink/route';
import { EchoSocket } from '../reach/socket.ts';
import type { AnswersFrom } from '../reach/table.ts';

export interface EndpointSettings {
  /** Of this node: one, or one of each family. */
  readonly subnets: readonly Prefix[];
  readonly bridge: string;
  readonly mtu: number;
  readonly answers: AnswersFrom;
}

/** The last one that is no broadcast address: host-local gives it away last. */
export function endpointAddress(subnet: Prefix): Ip {
  const last = lastAddress(subnet);
  return subnet.family === 4 ? (((last as number) - 1) as Ip) : last;
}

/** 11 characters, other ones for each subnet. */
export function endpointLink([subnet]: readonly Prefix[]): string {
  const bits = subnet!.family === 4 ? BigInt(subnet!.base) : (subnet!.base as bigint) >> 64n;
  return `flh${(bits & 0xffff_ffffn).toString(16).padStart(8, '0')}`;
}

export class Endpoint {
  private netns: Fd | undefined;
  private mtu: number;
  readonly addresses: readonly Ip[];

  constructor(
    private readonly nl: Netlink,
    private readonly settings: EndpointSettings,
  ) {
    this.mtu = settings.mtu;
    this.addresses = settings.subnets.map(endpointAddress);
  }

  /** `made` when it is new, and undefined with nothing to do; otherwise why it cannot be yet. */
  ensure(): 'made' | 'present' | { readonly waitsFor: string } {
    const { bridge } = this.settings;
    const link = getLink(this.nl, bridge);
    if (link === undefined) return { waitsFor: `the bridge ${bridge}, which the first pod makes` };
    const gateways = this.settings.subnets.map((subnet) => addressAt(subnet, 1));
    const present = listAddresses(this.nl, { index: link.index }).map(({ address }) => address.address);
    const missing = gateways.find((gateway) => !present.includes(gateway));
    if (missing !== undefined) return { waitsFor: `the address ${formatIp(missing)} on the bridge ${bridge}` };
    const veth = getLink(this.nl, this.name);
    if (this.netns !== undefined && veth?.master === link.index) return 'present';
    this.close();
    this.make(link.index, gateways);
    return 'made';
  }

  /** The next ensure() makes it anew. */
  setMtu(mtu: number): void {
    if (mtu === this.mtu) return;
    this.mtu = mtu;
    this.close();
  }

  openSocket(family: Family): EchoSocket | undefined {
    const address = this.addresses.find((candidate) => familyOf(candidate) === family);
    if (address === undefined || this.netns === undefined) return undefined;
    return withNetns(netnsPathOf(this.netns), () => new EchoSocket(family, address, this.settings.answers === 'node'));
  }

  close(): void {
    ensureLinkAbsent(this.nl, this.name);
    if (this.netns !== undefined) closeFd(this.netns);
    this.netns = undefined;
  }

  private get name(): string {
    return endpointLink(this.settings.subnets);
  }

  private make(bridge: number, gateways: readonly Ip[]): void {
    const { mtu } = this;
    const { subnets } = this.settings;
    const netns = openNewNetns();
    try {
      addVeth(this.nl, { name: this.name, mtu, master: bridge, up: true, peer: { name: 'eth0', mtu, netnsFd: netns } });
      withNetns(netnsPathOf(netns), () => {
        withNetlink({}, (nl) => {
          setLink(nl, getLink(nl, 'lo')!.index, { up: true });
          const { index } = getLink(nl, 'eth0')!;
          setLink(nl, index, { up: true });
          subnets.forEach((subnet, at) => {
            const address = { address: this.addresses[at]!, length: subnet.length } as Parameters<
              typeof addAddress
            >[1]['address'];
            addAddress(nl, { index, address, noDad: true });
            addRoute(nl, { family: subnet.family, gateway: gateways[at], outIndex: index });
          });
        });
      });
      this.netns = netns;
    } catch (error) {
      ensureLinkAbsent(this.nl, this.name);
      closeFd(netns);
      throw error;
    }
  }
}
