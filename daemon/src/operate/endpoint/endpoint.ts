/**
 * A pod of our own behind the bridge of pods, with the last usable address of the node's subnet. What is sent from it goes the way
 * that pods' packets go. It ends with flanneld.
 */
import type { Family } from '@flannel-ts/inet/family';
import { formatIp, type Ip } from '@flannel-ts/inet/ip';
import { type Mac, macFromBytes, macToBytes } from '@flannel-ts/inet/mac';
import { addressAt, lastAddress, type Prefix } from '@flannel-ts/inet/prefix';
import { listAddresses } from '@flannel-ts/rtnetlink/address';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import { ensureLinkAbsent, getLink, type Link, setLink } from '@flannel-ts/rtnetlink/link';
import type { EchoPort } from '../reach/socket.ts';
import type { AnswersFrom } from '../reach/table.ts';
import { PodStation } from './station.ts';

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
export function endpointLink(subnets: readonly Prefix[]): string {
  return `flh${numberOf(subnets).toString(16).padStart(8, '0')}`;
}

/** The same after a restart: the node still knows it. Locally administered. */
export function endpointMac(subnets: readonly Prefix[]): Mac {
  const bytes = new Uint8Array([0x02, 0x66, 0, 0, 0, 0]);
  new DataView(bytes.buffer).setUint32(2, numberOf(subnets));
  return macFromBytes(bytes);
}

function numberOf([subnet]: readonly Prefix[]): number {
  const bits = subnet!.family === 4 ? BigInt(subnet!.base) : (subnet!.base as bigint) >> 64n;
  return Number(bits & 0xffff_ffffn);
}

export interface Waiting {
  readonly waitsFor: string;
  /** What that means when there was an endpoint before, and pods with it. */
  readonly lost?: string;
}

export class Endpoint {
  private station: PodStation | undefined;
  private mtu: number;
  readonly addresses: readonly Ip[];

  constructor(
    private readonly nl: Netlink,
    private readonly settings: EndpointSettings,
  ) {
    this.mtu = settings.mtu;
    this.addresses = settings.subnets.map(endpointAddress);
  }

  /** `made` when it is new, `present` with nothing to do; otherwise why it cannot be yet. */
  ensure(): 'made' | 'present' | Waiting {
    const { bridge } = this.settings;
    const link = getLink(this.nl, bridge);
    if (link === undefined)
      return { waitsFor: `the bridge ${bridge}, which the first pod makes`, lost: `the bridge ${bridge} is gone` };
    const gateways = this.settings.subnets.map((subnet) => addressAt(subnet, 1));
    const present = listAddresses(this.nl, { index: link.index }).map(({ address }) => address.address);
    const missing = gateways.find((gateway) => !present.includes(gateway));
    if (missing !== undefined) {
      const address = formatIp(missing);
      return {
        waitsFor: `the address ${address} on the bridge ${bridge}`,
        lost: `the bridge ${bridge} has lost ${address}`,
      };
    }
    const port = getLink(this.nl, this.name);
    const isPresent = this.station !== undefined && port?.master === link.index;
    if (!isPresent) this.make(link);
    this.station!.gateway = link.mac;
    return isPresent ? 'present' : 'made';
  }

  /** The next ensure() makes it anew. */
  setMtu(mtu: number): void {
    if (mtu === this.mtu) return;
    this.mtu = mtu;
    this.close();
  }

  openPort(family: Family): EchoPort | undefined {
    return this.station?.port(family);
  }

  close(): void {
    this.station?.close();
    this.station = undefined;
    ensureLinkAbsent(this.nl, this.name);
  }

  private get name(): string {
    return endpointLink(this.settings.subnets);
  }

  private make({ index: master }: Link): void {
    this.close();
    const { name, mtu, settings, addresses } = this;
    const { subnets, answers } = settings;
    const mac = endpointMac(subnets);
    this.station = new PodStation({ name, mtu, mac, addresses, errors: answers === 'node' });
    try {
      // A bridge without an address of its own takes the lowest of its ports.
      const highest = macFromBytes(macToBytes(mac).fill(0xfe, 0, 1));
      setLink(this.nl, getLink(this.nl, name)!.index, { mac: highest, mtu, master, up: true });
    } catch (error) {
      this.close();
      throw error;
    }
  }
}
