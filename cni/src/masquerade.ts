import { familyOf, formatIp, type Ip } from '@flannel-ts/inet/ip';
import { formatPrefix, type InterfaceAddress, interfacePrefix } from '@flannel-ts/inet/prefix';
import { isRefusal } from '@flannel-ts/nft/errors';
import type { Command, TableName } from '@flannel-ts/nft/kernel/commands';
import { withNft } from '@flannel-ts/nft/kernel/connection';
import { type Match, PRIORITY_SRCNAT, type SetElement, type SetSpec } from '@flannel-ts/nft/ruleset';
import { chainWith, subnetChain } from './nft-commands.ts';

/**
 * Masquerading for `ipMasq`, with the reference plugin's meaning: what a pod sends to outside of its own subnet, multicast
 * excepted, leaves with the node's address. One table, in which pods are elements of a map and not rules: adding and
 * removing one touches nobody else's, and a packet is looked up once however many pods there are.
 *
 *   map pods4 { 10.244.1.5 comment "veth..." : goto from_10.244.1.0_24 }
 *   chain postrouting { ip saddr vmap @pods4 }
 *   chain from_10.244.1.0_24 { ip daddr 10.244.1.0/24 return; ip daddr 224.0.0.0/4 return; masquerade }
 */
const TABLE: TableName = { family: 'inet', name: 'flannel_cni' };

const PODS: Readonly<Record<4 | 6, SetSpec>> = {
  4: { name: 'pods4', key: ['ipv4_addr'], data: 'verdict' },
  6: { name: 'pods6', key: ['ipv6_addr'], data: 'verdict' },
};

const BASE: readonly Command[] = [
  { do: 'add set', table: TABLE, set: PODS[4] },
  { do: 'add set', table: TABLE, set: PODS[6] },
  ...chainWith(
    TABLE,
    { name: 'postrouting', hook: { type: 'nat', hook: 'postrouting', priority: PRIORITY_SRCNAT, policy: 'accept' } },
    [
      { expressions: [{ kind: 'verdict-map', keys: ['ip saddr'], map: PODS[4].name }] },
      { expressions: [{ kind: 'verdict-map', keys: ['ip6 saddr'], map: PODS[6].name }] },
    ],
  ),
];

/** Addresses of a pod, and the host's interface to it: for people, and for finding them. */
export interface Masqueraded {
  readonly owner: string;
  readonly addresses: readonly InterfaceAddress[];
}

/**
 * The commands that let these addresses masquerade, in a table that exists. `isNew` refuses an address that is in the map, which
 * otherwise would stay there with the comment of the pod before.
 */
export function masqueradeCommands(pods: readonly Masqueraded[], isNew = false): readonly Command[] {
  return [
    ...BASE,
    ...pods.flatMap(({ owner, addresses }) => addresses.flatMap((each) => commandsFor(owner, each, isNew))),
  ];
}

function commandsFor(owner: string, address: InterfaceAddress, isNew: boolean): readonly Command[] {
  const family = familyOf<Ip>(address.address);
  const subnet = formatPrefix(interfacePrefix(address));
  const chain = subnetChain('from', subnet);
  const isFor = (prefix: string): Match => ({
    kind: 'address',
    family: family === 4 ? 'ip' : 'ip6',
    side: 'daddr',
    prefix,
  });
  const element: SetElement = {
    key: [formatIp(address.address)],
    data: { kind: 'goto', target: chain },
    comment: owner,
  };
  return [
    ...chainWith(TABLE, { name: chain }, [
      { expressions: [isFor(subnet), { kind: 'return' }] },
      { expressions: [isFor(family === 4 ? '224.0.0.0/4' : 'ff00::/8'), { kind: 'return' }] },
      { expressions: [{ kind: 'masquerade', flags: [] }] },
    ]),
    { do: 'add elements', table: TABLE, set: PODS[family], elements: [element], isNew },
  ];
}

/**
 * `others`: who else should masquerade. Asked only where there is no table: for the first pod of a node, or after somebody has
 * flushed the ruleset, as a firewall's restart does, with all pods in it.
 */
export function addMasquerade(pod: Masqueraded, others: () => readonly Masqueraded[]): void {
  withNft((nft) => {
    try {
      nft.apply(masqueradeCommands([pod], true));
    } catch (error) {
      if (isRefusal(error, 'ENOENT')) {
        nft.apply([{ do: 'add table', table: TABLE }, ...masqueradeCommands([...others(), pod])]);
      } else if (isRefusal(error, 'EEXIST')) {
        // Addresses that were left behind change hands at once: nobody's late DEL finds its name on them afterwards.
        const ips = pod.addresses.map(({ address }) => address);
        nft.change((now) => [
          ...ips.filter((ip) => now.element(TABLE, ...place(ip)) !== undefined).map(deletion),
          ...masqueradeCommands([pod]),
        ]);
      } else {
        throw error;
      }
    }
  });
}

function place(ip: Ip): [SetSpec, [string]] {
  return [PODS[familyOf(ip)], [formatIp(ip)]];
}

function deletion(ip: Ip): Command {
  const [set, key] = place(ip);
  return { do: 'delete elements', table: TABLE, set, keys: [key] };
}

/** Takes the addresses out of the map; those that are not in it are fine. */
export function removeMasquerade(addresses: readonly Ip[]): void {
  if (addresses.length === 0) return;
  withNft((nft) => {
    nft.change((now) => addresses.filter((ip) => now.element(TABLE, ...place(ip)) !== undefined).map(deletion));
  });
}

/** Addresses in the maps, with their owners. */
export function listMasquerade(): { readonly address: string; readonly owner: string }[] {
  return withNft((nft) =>
    [PODS[4], PODS[6]]
      .flatMap((set) => nft.elements(TABLE, set) ?? [])
      .map(({ key, comment }) => ({ address: key[0]!, owner: comment ?? '' })),
  );
}
