/** How a device that is there differs from the one that should be, and what that takes. Pure. */
import { formatIp, type Ip } from '@flannel-ts/inet/ip';
import type { Mac } from '@flannel-ts/inet/mac';
import type { ActualIpip, ActualLink, ActualVxlan } from './actual.ts';
import type { DesiredLink, IpipAttributes, VxlanAttributes } from './desired.ts';

/** What can be changed while the device is in use. What is absent is right. */
export interface LinkSettings {
  readonly mtu?: number;
  readonly mac?: Mac;
  readonly up?: true;
  readonly arp?: true;
  /** Leaves the bridge, bond or VRF of this name. */
  readonly leave?: string;
  readonly queueLength?: number;
  /** The kernel makes no link-local address (addrgenmode none). */
  readonly linkLocal?: 'none';
  readonly acceptRouterAdvertisements?: false;
}

export type LinkComparison =
  | { readonly answer: 'nothing' }
  | { readonly answer: 'settings'; readonly settings: LinkSettings }
  /** `reason`, like `port is 8472, not 4789`. */
  | { readonly answer: 'remake'; readonly reason: string }
  /** Somebody else's device of the same name: it is left alone. */
  | { readonly answer: 'foreign'; readonly description: string };

export function compareLink(wanted: DesiredLink, there: ActualLink): LinkComparison {
  const { attributes } = there;
  if (attributes.kind !== wanted.kind) return { answer: 'foreign', description: describeKind(there) };
  const reason = reasonToRemake(wanted, there);
  if (reason !== undefined) return { answer: 'remake', reason };
  const settings: LinkSettings = {
    ...(there.mtu !== wanted.mtu && { mtu: wanted.mtu }),
    ...(there.master !== undefined && { leave: there.master }),
    ...(wanted.kind === 'vxlan' && attributes.kind === 'vxlan' && vxlanSettings(wanted, attributes, there)),
    ...(wanted.kind === 'tun' && isShort(there) && { queueLength: USUAL_QUEUE_LENGTH }),
    ...(!there.up && { up: true }),
  };
  return Object.keys(settings).length === 0 ? { answer: 'nothing' } : { answer: 'settings', settings };
}

/** Other nodes know the device by its MAC address; and what arrives on it must give this node neither addresses nor routes. */
function vxlanSettings(wanted: VxlanAttributes, { mac }: ActualVxlan, { arp, ipv6 }: ActualLink): LinkSettings {
  return {
    ...(!arp && { arp: true }),
    ...(mac !== wanted.mac && { mac: wanted.mac }),
    ...(ipv6?.makesLinkLocal && { linkLocal: 'none' }),
    ...(ipv6?.acceptsAdvertisements && { acceptRouterAdvertisements: false }),
  };
}

/** What the kernel gives a TUN device. A longer queue loses less: the data path makes its own longer. */
const USUAL_QUEUE_LENGTH = 500;

function isShort({ queueLength = USUAL_QUEUE_LENGTH }: ActualLink): boolean {
  return queueLength < USUAL_QUEUE_LENGTH;
}

function reasonToRemake(wanted: DesiredLink, { attributes: there }: ActualLink): string | undefined {
  if (wanted.kind === 'vxlan' && there.kind === 'vxlan') return firstDifference(vxlanDifferences(wanted, there));
  if (wanted.kind === 'ipip' && there.kind === 'ipip') return firstDifference(ipipDifferences(wanted, there));
  return undefined;
}

/** What it is, and what it should be. */
type Difference = readonly [what: string, is: string | number | boolean, shouldBe: string | number | boolean];

function firstDifference(differences: readonly Difference[]): string | undefined {
  const found = differences.find(([, is, shouldBe]) => is !== shouldBe);
  return found && `${found[0]} is ${found[1]}, not ${found[2]}`;
}

/** All that vxlan_changelink() of the kernel refuses, and what flannel never changes while the device is in use. */
function vxlanDifferences(wanted: VxlanAttributes, there: ActualVxlan): Difference[] {
  return [
    ['VNI', there.vni, wanted.vni],
    ['port', there.port, wanted.port],
    ['parent', there.parent ?? 'none', wanted.parent],
    ['local address', formatOptionalIp(there.local), formatIp(wanted.local)],
    ['default destination', formatOptionalIp(there.group), 'none'],
    ['learning', there.learning, wanted.learning],
    ['GBP', there.gbp, wanted.gbp],
    ['omission of UDP checksums', there.omitsChecksums, false],
    ...oddity(there),
  ];
}

function ipipDifferences(wanted: IpipAttributes, there: ActualIpip): Difference[] {
  return [
    ['local address', formatOptionalIp(there.local), formatIp(wanted.local)],
    ['remote address', formatOptionalIp(there.remote), 'none'],
    ...oddity(there),
  ];
}

function oddity({ oddities }: ActualVxlan | ActualIpip): Difference[] {
  return oddities.map((oddity) => ['one of its settings', oddity, 'as the kernel gives it']);
}

function formatOptionalIp(ip: Ip | undefined): string {
  return ip === undefined ? 'none' : formatIp(ip);
}

function describeKind({ attributes }: ActualLink): string {
  return attributes.kind === 'other' ? attributes.description : `of kind ${attributes.kind}`;
}
