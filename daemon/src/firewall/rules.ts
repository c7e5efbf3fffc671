/**
 * flannel's masquerade and forward rules, in nftables. The semantics are those of flannel's iptables rules
 * (trafficmngr/iptables/iptables.go); its own nftables version (trafficmngr/nftables/nftables.go) differs where it should not:
 * it compares the mark without a mask, and returns for "not from our subnet, to the network" instead of "not from the network,
 * to our subnet", so that its last rule is never reached. Names of tables and chains are flannel's, so that either finds and
 * replaces the other's.
 */
import type { LeaseSubnets } from '@flannel-ts/flannel/lease';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { formatIpv6Prefix } from '@flannel-ts/inet/ipv6-prefix';
import { formatIpv4Prefix } from '@flannel-ts/inet/prefix';
import { deleteTable, ensureTables } from '@flannel-ts/nft/apply';
import { listTable } from '@flannel-ts/nft/list';
import {
  type Chain,
  type MasqueradeFlag,
  type Match,
  PRIORITY_FILTER,
  PRIORITY_SRCNAT,
  type Rule,
  type Table,
} from '@flannel-ts/nft/ruleset';
import type { NftOptions } from '@flannel-ts/nft/run';

/** The addresses the rules speak of; a family that is off has none. */
export interface Overlay {
  readonly ipv4?: OverlayFamily;
  readonly ipv6?: OverlayFamily;
}

export interface OverlayFamily {
  /** All pods of the cluster. */
  readonly network: string;
  /** The pods of this node. */
  readonly subnet: string;
}

export interface WantedRules {
  /** -ip-masq */
  readonly masquerade: boolean;
  /** -iptables-forward-rules */
  readonly forward: boolean;
  /** Not with -ip-masq-fully-random-disable: two connections that are given one port at the same time lose packets. */
  readonly fullyRandom: boolean;
}

export const IPV4_TABLE = 'flannel-ipv4';
export const IPV6_TABLE = 'flannel-ipv6';
const MASQUERADE_CHAIN = 'postrtg';
const FORWARD_CHAIN = 'forward';

/** kube-proxy's mark for what it masquerades itself; a bit among others', hence the mask. */
const KUBE_MASQUERADE_MARK = 0x4000;

const FAMILIES = {
  ipv4: { family: 'ip', table: IPV4_TABLE, multicast: '224.0.0.0/4' },
  ipv6: { family: 'ip6', table: IPV6_TABLE, multicast: 'ff00::/8' },
} as const;
type FamilyKey = keyof typeof FAMILIES;

export function overlayOf(
  config: Pick<NetworkConfig, 'enableIpv4' | 'network' | 'ipv6'>,
  lease: LeaseSubnets,
): Overlay {
  return {
    ...(config.enableIpv4 &&
      lease.subnet && {
        ipv4: { network: formatIpv4Prefix(config.network), subnet: formatIpv4Prefix(lease.subnet) },
      }),
    ...(config.ipv6 &&
      lease.ipv6Subnet && {
        ipv6: { network: formatIpv6Prefix(config.ipv6.network), subnet: formatIpv6Prefix(lease.ipv6Subnet) },
      }),
  };
}

/** The desired state: a table for each family that has a rule. */
export function desiredTables(overlay: Overlay, wanted: WantedRules): Table[] {
  return (['ipv4', 'ipv6'] as const).flatMap((key) => {
    const addresses = overlay[key];
    if (addresses === undefined) return [];
    const chains = [
      ...(wanted.masquerade ? [masqueradeChain(key, addresses, wanted.fullyRandom)] : []),
      ...(wanted.forward ? [forwardChain(key, addresses)] : []),
    ];
    return chains.length > 0 ? [{ family: FAMILIES[key].family, name: FAMILIES[key].table, chains }] : [];
  });
}

/** Makes the rules as desired, and only those; true when something was changed. Cheap when nothing has to be. */
export async function ensureRules(overlay: Overlay, wanted: WantedRules, options: NftOptions = {}): Promise<boolean> {
  const tables = desiredTables(overlay, wanted);
  let changed = (await ensureTables(tables, options)) > 0;
  for (const { family, table } of Object.values(FAMILIES)) {
    if (tables.some(({ name }) => name === table)) continue;
    if ((await listTable(family, table, options)) === undefined) continue;
    await deleteTable(family, table, options);
    changed = true;
  }
  return changed;
}

/** The masquerade rules alone; a forward chain stays as it is. */
export async function ensureMasquerade(
  overlay: Overlay,
  options: NftOptions & { readonly fullyRandom?: boolean } = {},
): Promise<boolean> {
  const wanted = { masquerade: true, forward: false, fullyRandom: options.fullyRandom ?? true };
  return (await ensureTables(desiredTables(overlay, wanted), { ...options, keepOtherChains: true })) > 0;
}

/** The forward rules alone; a masquerade chain stays as it is. */
export async function ensureForward(overlay: Overlay, options: NftOptions = {}): Promise<boolean> {
  const wanted = { masquerade: false, forward: true, fullyRandom: true };
  return (await ensureTables(desiredTables(overlay, wanted), { ...options, keepOtherChains: true })) > 0;
}

/** Connections that are already translated go on. */
export async function removeRules(options: NftOptions = {}): Promise<void> {
  for (const { family, table } of Object.values(FAMILIES)) await deleteTable(family, table, options);
}

function masqueradeChain(key: FamilyKey, { network, subnet }: OverlayFamily, fullyRandom: boolean): Chain {
  const [from, to, notFrom, notTo] = matchers(key);
  const comment = 'flanneld masq';
  const flags: readonly MasqueradeFlag[] = fullyRandom ? ['fully-random'] : [];
  const masquerade = { kind: 'masquerade', flags } as const;
  const leave = { kind: 'return' } as const;
  const rules: Rule['expressions'][] = [
    [{ kind: 'mark', value: KUBE_MASQUERADE_MARK, mask: KUBE_MASQUERADE_MARK }, leave],
    // Between pods, whichever node they are on: they see each other's own addresses.
    [from(subnet), to(network), leave],
    [from(network), to(subnet), leave],
    // From outside to our own pods, as through a node port: the pod sees the client's address.
    [notFrom(network), to(subnet), leave],
    [from(network), notTo(FAMILIES[key].multicast), masquerade],
    // From outside to a pod of another node: its answer has to come back through the overlay.
    [notFrom(network), to(network), masquerade],
  ];
  return {
    name: MASQUERADE_CHAIN,
    hook: { type: 'nat', hook: 'postrouting', priority: PRIORITY_SRCNAT, policy: 'accept' },
    rules: rules.map((expressions) => ({ expressions, comment })),
  };
}

/** Says nothing against another table's drop: to nftables, accept means "no objection from this table". */
function forwardChain(key: FamilyKey, { network }: OverlayFamily): Chain {
  const [from, to] = matchers(key);
  const comment = 'flanneld forward';
  return {
    name: FORWARD_CHAIN,
    hook: { type: 'filter', hook: 'forward', priority: PRIORITY_FILTER, policy: 'accept' },
    rules: [
      { expressions: [from(network), { kind: 'accept' }], comment },
      { expressions: [to(network), { kind: 'accept' }], comment },
    ],
  };
}

/** From, to, not from, not to. */
function matchers(key: FamilyKey) {
  const { family } = FAMILIES[key];
  const match =
    (side: 'saddr' | 'daddr', not?: true) =>
    (prefix: string): Match => ({ kind: 'address', family, side, prefix, ...(not && { not }) });
  return [match('saddr'), match('daddr'), match('saddr', true), match('daddr', true)] as const;
}
