/**
 * flannel's masquerade and forward rules as values, in nftables. The semantics are those of flannel's iptables rules
 * (trafficmngr/iptables/iptables.go); its own nftables version (trafficmngr/nftables/nftables.go) differs where it should not:
 * it compares the mark without a mask, and returns for "not from our subnet, to the network" instead of "not from the network,
 * to our subnet", so that its last rule is never reached.
 */
import type { LeaseSubnets } from '@flannel-ts/flannel/lease';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { FAMILIES, type Family } from '@flannel-ts/inet/family';
import { familyOf } from '@flannel-ts/inet/ip';
import { formatPrefix, parsePrefix } from '@flannel-ts/inet/prefix';
import {
  type Chain,
  type MasqueradeFlag,
  type Match,
  PRIORITY_FILTER,
  PRIORITY_SRCNAT,
  type Rule,
  type Table,
} from '@flannel-ts/nft/ruleset';

/** The addresses that the rules are about; a family that is off has none. */
export type Overlay = { readonly [F in Family]?: OverlayFamily };

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

/** The names of nftables, and of flannel's tables. */
export const NFT = {
  4: { family: 'ip', table: 'flannel-ipv4', multicast: '224.0.0.0/4' },
  6: { family: 'ip6', table: 'flannel-ipv6', multicast: 'ff00::/8' },
} as const;

export const MASQUERADE_COMMENT = 'flanneld masq';
export const FORWARD_COMMENT = 'flanneld forward';

const MASQUERADE_CHAIN = 'postrtg';
const FORWARD_CHAIN = 'forward';

/** kube-proxy's mark for what it masquerades itself; a bit among others', hence the mask. */
const KUBE_MASQUERADE_MARK = 0x4000;

export function overlayOf({ pools }: Pick<NetworkConfig, 'pools'>, lease: LeaseSubnets): Overlay {
  return {
    ...(pools[4] &&
      lease.subnet && {
        4: { network: formatPrefix(pools[4].network), subnet: formatPrefix(lease.subnet) },
      }),
    ...(pools[6] &&
      lease.ipv6Subnet && {
        6: { network: formatPrefix(pools[6].network), subnet: formatPrefix(lease.ipv6Subnet) },
      }),
  };
}

/**
 * A table of its own for each network (10.5.0.0/16), since several flanneld may run on a host: flannel-ipv4-10.5.0.0-16.
 * nftables accepts no colon in a name.
 */
export function ownTable(network: string): Pick<Table, 'family' | 'name'> {
  const { family, table } = NFT[familyOf(parsePrefix(network).base)];
  return { family, name: `${table}-${network.replace('/', '-').replaceAll(':', '.')}` };
}

export function networksOf(overlay: Overlay): string[] {
  return FAMILIES.flatMap((version) => overlay[version]?.network ?? []);
}

/** The desired state: a table for each family that has a rule. */
export function desiredTables(overlay: Overlay, wanted: WantedRules): Table[] {
  return FAMILIES.flatMap((version) => {
    const addresses = overlay[version];
    if (addresses === undefined) return [];
    const chains = [
      ...(wanted.masquerade ? [masqueradeChain(version, addresses, wanted.fullyRandom)] : []),
      ...(wanted.forward ? [forwardChain(version, addresses)] : []),
    ];
    return chains.length > 0 ? [{ ...ownTable(addresses.network), chains }] : [];
  });
}

function masqueradeChain(version: Family, { network, subnet }: OverlayFamily, fullyRandom: boolean): Chain {
  const { from, to, notFrom, notTo } = matchers(version);
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
    [from(network), notTo(NFT[version].multicast), masquerade],
    // From outside to a pod of another node: its answer has to come back through the overlay.
    [notFrom(network), to(network), masquerade],
  ];
  return {
    name: MASQUERADE_CHAIN,
    hook: { type: 'nat', hook: 'postrouting', priority: PRIORITY_SRCNAT, policy: 'accept' },
    rules: rules.map((expressions) => ({ expressions, comment: MASQUERADE_COMMENT })),
  };
}

/** Has no effect on another table's drop: an accept in nftables ends this table's chain only (forward.ts). */
function forwardChain(version: Family, { network }: OverlayFamily): Chain {
  const { from, to } = matchers(version);
  return {
    name: FORWARD_CHAIN,
    hook: { type: 'filter', hook: 'forward', priority: PRIORITY_FILTER, policy: 'accept' },
    rules: [
      { expressions: [from(network), { kind: 'accept' }], comment: FORWARD_COMMENT },
      { expressions: [to(network), { kind: 'accept' }], comment: FORWARD_COMMENT },
    ],
  };
}

function matchers(version: Family) {
  const { family } = NFT[version];
  const match =
    (side: 'saddr' | 'daddr', not?: true) =>
    (prefix: string): Match => ({ kind: 'address', family, side, prefix, ...(not && { not }) });
  return { from: match('saddr'), to: match('daddr'), notFrom: match('saddr', true), notTo: match('daddr', true) };
}
