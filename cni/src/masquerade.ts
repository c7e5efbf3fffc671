import { familyOf, formatIp, type Ip } from '@flannel-ts/inet/ip';
import { formatPrefix, type InterfaceAddress, interfacePrefix } from '@flannel-ts/inet/prefix';
import { applyRulesetSync, refused, runNftSync, saysNotFound } from '@flannel-ts/nft/sync';

/**
 * Masquerading for `ipMasq`, with the reference plugin's meaning: what a pod sends to outside of its own subnet, multicast
 * excepted, leaves with the node's address. One table, in which pods are elements of a map and not rules: adding and
 * removing one touches nobody else's, and a packet is looked up once however many pods there are.
 *
 *   map pods4 { 10.244.1.5 comment "veth..." : goto from_10.244.1.0_24 }
 *   chain postrouting { ip saddr vmap @pods4 }
 *   chain from_10.244.1.0_24 { ip daddr 10.244.1.0/24 return; ip daddr 224.0.0.0/4 return; masquerade }
 */
const TABLE = 'inet flannel_cni';

const BASE = [
  `add map ${TABLE} pods4 { type ipv4_addr : verdict; }`,
  `add map ${TABLE} pods6 { type ipv6_addr : verdict; }`,
  `add chain ${TABLE} postrouting { type nat hook postrouting priority 100; policy accept; }`,
  `flush chain ${TABLE} postrouting`,
  `add rule ${TABLE} postrouting ip saddr vmap @pods4`,
  `add rule ${TABLE} postrouting ip6 saddr vmap @pods6`,
];

const WORDS = {
  4: { map: 'pods4', daddr: 'ip daddr', multicast: '224.0.0.0/4' },
  6: { map: 'pods6', daddr: 'ip6 daddr', multicast: 'ff00::/8' },
} as const;

/** Addresses of a pod, and the host's interface to it: for people, and for finding them. */
export interface Masqueraded {
  readonly owner: string;
  readonly addresses: readonly InterfaceAddress[];
}

/**
 * The commands that let these addresses masquerade, in a table that exists. `create` refuses an address that is in the map, where
 * `add` would leave it with the comment of the pod before.
 */
export function renderMasquerade(pods: readonly Masqueraded[], verb: 'add' | 'create' = 'add'): string {
  const lines = [...BASE];
  for (const { owner, address } of pods.flatMap(({ owner, addresses }) =>
    addresses.map((each) => ({ owner, address: each })),
  )) {
    const { map, daddr, multicast } = WORDS[familyOf(address.address)];
    const subnet = formatPrefix(interfacePrefix(address));
    const chain = `from_${subnet.replace(/[/:]/g, '_')}`;
    lines.push(
      `add chain ${TABLE} ${chain}`,
      `flush chain ${TABLE} ${chain}`,
      `add rule ${TABLE} ${chain} ${daddr} ${subnet} return`,
      `add rule ${TABLE} ${chain} ${daddr} ${multicast} return`,
      `add rule ${TABLE} ${chain} masquerade`,
      `${verb} element ${TABLE} ${map} { ${formatIp(address.address)} comment "${owner}" : goto ${chain} }`,
    );
  }
  return `${lines.join('\n')}\n`;
}

/**
 * `others`: who else should masquerade. Asked only where there is no table: for the first pod of a node, or after somebody has
 * flushed the ruleset, as a firewall's restart does, with all pods in it.
 */
export function addMasquerade(pod: Masqueraded, others: () => readonly Masqueraded[]): void {
  const first = runNftSync(['-f', '-'], renderMasquerade([pod], 'create'));
  if (first.code === 0) return;
  if (saysNotFound(first)) {
    applyRulesetSync(`add table ${TABLE}\n${renderMasquerade([...others(), pod])}`);
    return;
  }
  if (!first.stderr.includes('File exists')) throw refused(first);
  takeOver(pod);
}

/** Addresses that were left behind change hands in one transaction: nobody's late DEL finds its name on them afterwards. */
function takeOver(pod: Masqueraded): void {
  const present = new Set(listMasquerade().map(({ address }) => address));
  const stale = pod.addresses.map(({ address }) => address).filter((address) => present.has(formatIp(address)));
  const deletions = stale.map((address) => `delete ${elementOf(address)}\n`).join('');
  applyRulesetSync(`${deletions}${renderMasquerade([pod])}`);
}

function elementOf(address: Ip): string {
  return `element ${TABLE} ${WORDS[familyOf(address)].map} { ${formatIp(address)} }`;
}

/** Takes the addresses out of the map; those that are not in it are fine. */
export function removeMasquerade(addresses: readonly Ip[]): void {
  for (const address of addresses) {
    const outcome = runNftSync(['delete', elementOf(address)]);
    if (outcome.code !== 0 && !saysNotFound(outcome)) throw refused(outcome);
  }
}

interface ListedElement {
  readonly elem?: { readonly val?: unknown; readonly comment?: unknown };
}

/** Addresses in the maps, with their owners. */
export function listMasquerade(): { readonly address: string; readonly owner: string }[] {
  const outcome = runNftSync(['-j', 'list', 'table', ...TABLE.split(' ')]);
  if (saysNotFound(outcome)) return [];
  if (outcome.code !== 0) throw refused(outcome);
  const { nftables } = JSON.parse(outcome.stdout) as { nftables: { map?: { elem?: [ListedElement, unknown][] } }[] };
  return nftables
    .flatMap((object) => object.map?.elem ?? [])
    .flatMap(([{ elem }]) => {
      if (typeof elem?.val !== 'string') return [];
      return { address: elem.val, owner: typeof elem.comment === 'string' ? elem.comment : '' };
    });
}
