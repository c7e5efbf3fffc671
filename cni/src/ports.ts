import { familyOf, formatIp, type Ip, unspecifiedIp } from '@flannel-ts/inet/ip';
import { formatPrefix, type InterfaceAddress, interfacePrefix } from '@flannel-ts/inet/prefix';
import { writeSysctl } from '@flannel-ts/linux/sysctl';
import type { Command, TableName } from '@flannel-ts/nft/kernel/commands';
import { type NftConnection, withNft } from '@flannel-ts/nft/kernel/connection';
import { forgetUdpConnections } from '@flannel-ts/nft/kernel/conntrack';
import { sameChain } from '@flannel-ts/nft/plan';
import {
  type Chain,
  type Expression,
  type FieldType,
  type Key,
  PRIORITY_DSTNAT,
  PRIORITY_SRCNAT,
  type Rule,
  type SetElement,
  type SetSpec,
} from '@flannel-ts/nft/ruleset';
import { CniError, ErrorCode } from './errors.ts';
import { chainWith, subnetChain } from './nft-commands.ts';
import { MARK_BIT, type PortMapping, type PortSettings } from './port-config.ts';

/**
 * The node's ports that lead to pods. One table, in which mappings are elements of maps and not rules: a packet is looked up as
 * often however many there are. Only what is sent to an address of the node itself is looked at (CVE-2025-67499).
 *
 *   map ports4       { tcp . 8080 comment "veth... 1f2e" : 10.244.1.5 . 80 }              any address of the node
 *   map host_ports4  { 192.0.2.1 . tcp . 8080 comment "..." : 10.244.1.5 . 80 }           this one
 *   map marks4, host_marks4: the same keys to a chain that marks what must be masqueraded, because the pod would answer past the
 *                    node: what comes from its own subnet (itself, too) and from 127.0.0.1
 *
 * The newest mapping of a port holds, as kubelet may start a pod before it has removed the finished one that had the port.
 */
const TABLE: TableName = { family: 'inet', name: 'flannel_cni_ports' };

/** Stays when the last port has gone: as long as route_localnet is set, nobody outside may speak to 127.0.0.1, or as it. */
const GUARD_TABLE: TableName = { family: 'inet', name: 'flannel_cni_localhost' };

type Family = 4 | 6;
const MARK = 2 ** MARK_BIT;

interface Maps {
  readonly ports: SetSpec;
  readonly hostPorts: SetSpec;
  readonly marks: SetSpec;
  readonly hostMarks: SetSpec;
}

const MAPS: Readonly<Record<Family, Maps>> = { 4: mapsOf(4), 6: mapsOf(6) };
const ALL_MAPS = [MAPS[4], MAPS[6]].flatMap((maps) => Object.values(maps) as SetSpec[]);

function mapsOf(family: Family): Maps {
  const address: FieldType = family === 4 ? 'ipv4_addr' : 'ipv6_addr';
  const key: FieldType[] = ['inet_proto', 'inet_service'];
  const data: FieldType[] = [address, 'inet_service'];
  return {
    ports: { name: `ports${family}`, key, data },
    hostPorts: { name: `host_ports${family}`, key: [address, ...key], data },
    marks: { name: `marks${family}`, key, data: 'verdict' },
    hostMarks: { name: `host_marks${family}`, key: [address, ...key], data: 'verdict' },
  };
}

const CHAINS: readonly Chain[] = [
  { name: 'mark_all', rules: [{ expressions: [{ kind: 'set-mark', bits: MARK }] }] },
  { name: 'to_pods', rules: ([4, 6] as const).flatMap(lookups) },
  ...(['prerouting', 'output'] as const).map(
    (hook): Chain => ({
      name: hook,
      hook: { type: 'nat', hook, priority: PRIORITY_DSTNAT, policy: 'accept' },
      rules: [{ expressions: [{ kind: 'local-destination' }, { kind: 'jump', target: 'to_pods' }] }],
    }),
  ),
  {
    name: 'postrouting',
    hook: { type: 'nat', hook: 'postrouting', priority: PRIORITY_SRCNAT, policy: 'accept' },
    rules: [
      {
        expressions: [
          { kind: 'mark', value: MARK, mask: MARK },
          { kind: 'ct-status', status: 'dnat' },
          { kind: 'masquerade', flags: [] },
        ],
      },
    ],
  },
];

/** The narrower one first. What finds nothing goes on to the next. */
function lookups(family: Family): Rule[] {
  const ip = family === 4 ? 'ip' : 'ip6';
  const { ports, hostPorts, marks, hostMarks } = MAPS[family];
  const port: readonly Key[] = ['meta l4proto', 'th dport'];
  const atHost: readonly Key[] = [`${ip} daddr`, ...port];
  // A map of ports alone does not say of which family a packet has to be.
  const isFamily: Expression = { kind: 'nfproto', family: ip };
  return [
    { expressions: [{ kind: 'verdict-map', keys: atHost, map: hostMarks.name }] },
    { expressions: [{ kind: 'dnat-map', family: ip, keys: atHost, map: hostPorts.name }] },
    { expressions: [isFamily, { kind: 'verdict-map', keys: port, map: marks.name }] },
    { expressions: [isFamily, { kind: 'dnat-map', family: ip, keys: port, map: ports.name }] },
  ];
}

/** Who has the ports: an attachment, and the network in which GC looks for what is left. */
export interface PortOwner {
  readonly attachment: string;
  readonly network: string;
}

function commentOf({ attachment, network }: PortOwner): string {
  return `${attachment} ${network}`;
}

interface Placed {
  readonly set: SetSpec;
  readonly element: SetElement;
}

/** The elements for a pod: of its first address of each family, as the reference plugin does it. */
export function portElements(
  owner: PortOwner,
  { mappings, snat, masqAll }: PortSettings,
  addresses: readonly InterfaceAddress[],
): readonly Placed[] {
  const placed = firstOfEachFamily(addresses).flatMap((address) =>
    mappings.flatMap((mapping): Placed[] => {
      const family = familyOf<Ip>(address.address);
      const { hostIp } = mapping;
      if (hostIp !== undefined && familyOf<Ip>(hostIp) !== family) return [];
      const isNarrow = hostIp !== undefined && hostIp !== unspecifiedIp(family);
      const key = [...(isNarrow ? [formatIp(hostIp)] : []), mapping.protocol, String(mapping.hostPort)];
      const comment = commentOf(owner);
      const { ports, hostPorts, marks, hostMarks } = MAPS[family];
      const data = [formatIp(address.address), String(mapping.containerPort)];
      const to: Placed = { set: isNarrow ? hostPorts : ports, element: { key, data, comment } };
      if (!snat) return [to];
      const verdict = { kind: 'jump', target: masqAll ? 'mark_all' : markChain(address) } as const;
      return [to, { set: isNarrow ? hostMarks : marks, element: { key, data: verdict, comment } }];
    }),
  );
  // Of two for one port the last one holds.
  return [...new Map(placed.map((each) => [placeOf(each), each])).values()];
}

function placeOf({ set, element }: Placed): string {
  return `${set.name} ${element.key.join(' ')}`;
}

function firstOfEachFamily(addresses: readonly InterfaceAddress[]): InterfaceAddress[] {
  return ([4, 6] as const).flatMap((family) => addresses.find(({ address }) => familyOf<Ip>(address) === family) ?? []);
}

function markChain(address: InterfaceAddress): string {
  return subnetChain('mark', formatPrefix(interfacePrefix(address)));
}

/** Marks what comes from the pods' subnet, and from the node by its loopback address. */
function markRules(address: InterfaceAddress): Chain {
  const isIpv4 = familyOf<Ip>(address.address) === 4;
  const sources = [formatPrefix(interfacePrefix(address)), ...(isIpv4 ? ['127.0.0.0/8'] : [])];
  const rules = sources.map(
    (prefix): Rule => ({
      expressions: [
        { kind: 'address', family: isIpv4 ? 'ip' : 'ip6', side: 'saddr', prefix },
        { kind: 'set-mark', bits: MARK },
      ],
    }),
  );
  return { name: markChain(address), rules };
}

function baseCommands(addresses: readonly InterfaceAddress[]): readonly Command[] {
  return [
    { do: 'add table', table: TABLE },
    ...ALL_MAPS.map((set): Command => ({ do: 'add set', table: TABLE, set })),
    ...[...CHAINS, ...firstOfEachFamily(addresses).map(markRules)].flatMap((chain) =>
      chainWith(TABLE, chain, chain.rules),
    ),
  ];
}

/**
 * ADD: the ports lead to the pod from here on. `device`: the interface by which the node reaches the pod, for connections from
 * 127.0.0.1.
 */
export function addPorts(
  owner: PortOwner,
  settings: PortSettings,
  addresses: readonly InterfaceAddress[],
  device: string | undefined,
): void {
  const placed = portElements(owner, settings, addresses);
  if (placed.length === 0) return;
  if (
    settings.snat &&
    device !== undefined &&
    placed.some(({ set }) => set === MAPS[4].marks || set === MAPS[4].hostMarks)
  )
    openLocalhost(device);
  withNft((nft) => {
    nft.change((now) => [
      ...placed
        .filter(({ set, element }) => now.element(TABLE, set, element.key) !== undefined)
        .map(({ set, element }): Command => ({ do: 'delete elements', table: TABLE, set, keys: [element.key] })),
      ...baseCommands(addresses),
      ...placed.map(
        ({ set, element }): Command => ({ do: 'add elements', table: TABLE, set, elements: [element], isNew: true }),
      ),
    ]);
  });
  forgetUdp(settings.mappings.filter(({ protocol }) => protocol === 'udp').map(({ hostPort }) => hostPort));
}

/**
 * The kernel lets packets with 127.0.0.1 as their source leave, and so also come in; nothing of that is meant for others
 * (CVE-2020-8558). Before the first packet may, the rules are there.
 */
function openLocalhost(device: string): void {
  const isLoopback = (side: 'saddr' | 'daddr'): Rule => ({
    expressions: [
      { kind: 'interface', side: 'iifname', not: true, name: 'lo' },
      { kind: 'address', family: 'ip', side, prefix: '127.0.0.0/8' },
      { kind: 'drop' },
    ],
  });
  const chain = {
    name: 'prerouting',
    hook: { type: 'filter', hook: 'prerouting', priority: -300, policy: 'accept' },
  } as const;
  withNft((nft) =>
    nft.apply([
      { do: 'add table', table: GUARD_TABLE },
      ...chainWith(GUARD_TABLE, chain, [isLoopback('saddr'), isLoopback('daddr')]),
    ]),
  );
  writeSysctl(`net/ipv4/conf/${device}/route_localnet`, 1);
}

function forgetUdp(ports: readonly number[]): void {
  for (const port of new Set(ports)) forgetUdpConnections(port);
}

/** DEL: what the owner has. With the last port the table goes. */
export function removePorts(owner: PortOwner): void {
  removeWhere((comment) => comment === commentOf(owner));
}

/** GC: what attachments of a network have that are not among the valid ones. */
export function removeStalePorts(network: string, valid: ReadonlySet<string>): void {
  removeWhere((comment) => {
    const [attachment, ofNetwork] = comment.split(' ');
    return ofNetwork === network && !valid.has(attachment!);
  });
}

function removeWhere(isGone: (comment: string) => boolean): void {
  let gone: readonly Placed[] = [];
  withNft((nft) =>
    nft.change((now) => {
      const all = listPlaced(now);
      gone = all.filter(({ element }) => isGone(element.comment ?? ''));
      if (gone.length === 0) return [];
      if (gone.length === all.length) return [{ do: 'delete table', table: TABLE }];
      return gone.map(
        ({ set, element }): Command => ({ do: 'delete elements', table: TABLE, set, keys: [element.key] }),
      );
    }),
  );
  forgetUdp(gone.flatMap(({ element: { key } }) => (key.at(-2) === 'udp' ? [Number(key.at(-1))] : [])));
}

function listPlaced(nft: NftConnection): readonly Placed[] {
  const found: Placed[] = [];
  for (const set of ALL_MAPS) {
    const elements = nft.elements(TABLE, set);
    if (elements === undefined) return []; // no such table
    for (const element of elements) found.push({ set, element });
  }
  return found;
}

/** CHECK: every element is there, and the rules that look them up. */
export function checkPorts(owner: PortOwner, settings: PortSettings, addresses: readonly InterfaceAddress[]): void {
  const placed = portElements(owner, settings, addresses);
  if (placed.length === 0) return;
  withNft((nft) => {
    const present = new Map(listPlaced(nft).map((each) => [placeOf(each), JSON.stringify(each.element)]));
    for (const each of placed) {
      if (present.get(placeOf(each)) !== JSON.stringify(each.element)) throw missing(each, settings.mappings);
    }
    const chains = new Map((nft.chains(TABLE) ?? []).map((chain) => [chain.name, chain]));
    const wanted = settings.snat && !settings.masqAll ? firstOfEachFamily(addresses).map(markRules) : [];
    for (const chain of [...CHAINS, ...wanted]) {
      const found = chains.get(chain.name);
      if (found !== undefined && sameChain(found, chain)) continue;
      throw wrong(`the rules of port mappings are not as they were made: chain ${chain.name}`);
    }
  });
}

function missing({ element }: Placed, mappings: readonly PortMapping[]): CniError {
  const port = mappings.find(({ hostPort }) => String(hostPort) === element.key.at(-1));
  return wrong(`port mapping ${port?.protocol ?? ''} ${element.key.at(-1)} to port ${port?.containerPort} is missing`);
}

function wrong(message: string): CniError {
  return new CniError(ErrorCode.checkFailed, message, `nft list table ${TABLE.family} ${TABLE.name}`);
}
