import { isDeepStrictEqual } from 'node:util';
import { parseIp } from '@flannel-ts/inet/ip';
import { parseMac } from '@flannel-ts/inet/mac';
import { parseInterfaceAddress, parsePrefix } from '@flannel-ts/inet/prefix';
import fc from 'fast-check';
import { VXLAN } from '../../testing/vxlan.ts';
import type { ActualLink, ActualState } from './actual.ts';
import { describeChange, metricOf } from './change.ts';
import type { DesiredState } from './desired.ts';
import { diffState } from './diff.ts';
import { diffDesired } from './diff-desired.ts';
import { guardMetric } from './guard.ts';

const network = parsePrefix('10.5.0.0/16');
const owner = { networks: [network] };
const link = 'flannel.1';

/** The nth node, at one of several addresses with one of several MAC addresses; some are reached without the device. */
interface Peer {
  readonly n: number;
  readonly host: number;
  readonly mac: number;
  readonly direct: boolean;
}

function desiredFor(peers: readonly Peer[]): DesiredState {
  const tunnelled = peers.filter(({ direct }) => !direct);
  const macOf = ({ n, mac }: Peer) => parseMac(`0a:58:0a:05:0${n}:0${mac}`);
  const remoteOf = ({ host }: Peer) => parseIp(`10.0.0.${host}`);
  return {
    links: [{ ...VXLAN, name: link, mtu: 1450, addresses: [parseInterfaceAddress('10.5.1.0/32')] }],
    routes: [
      { type: 'unreachable', dst: network, metric: guardMetric(network) },
      ...peers.map((peer) => {
        const dst = parsePrefix(`10.5.${peer.n}.0/24`);
        return peer.direct
          ? ({ type: 'unicast', dst, link: 'eth0', gateway: remoteOf(peer) } as const)
          : ({ type: 'unicast', dst, link, gateway: dst.base, onlink: true } as const);
      }),
    ],
    neighbours: tunnelled.map((peer) => ({ link, address: parseIp(`10.5.${peer.n}.0`), mac: macOf(peer) })),
    fdb: tunnelled.map((peer) => ({ link, mac: macOf(peer), remote: remoteOf(peer) })),
    complete: true,
  };
}

/** What a comparison reads of a kernel that is as desired. */
function kernelOf(desired: DesiredState): ActualState {
  const actual: ActualLink = {
    name: link,
    index: 7,
    mtu: 1450,
    up: true,
    arp: true,
    addresses: [parseInterfaceAddress('10.5.1.0/32')],
    attributes: { ...VXLAN, group: undefined, omitsChecksums: false, oddities: [] },
  };
  return {
    links: [actual],
    routes: desired.routes.map((route) => ({
      ...route,
      metric: metricOf(route),
      protocol: 241,
    })) as ActualState['routes'],
    neighbours: (desired.neighbours ?? []).map((entry) => ({ ...entry, permanent: true })),
    fdb: (desired.fdb ?? []).map((entry) => ({ ...entry, permanent: true })),
    leftovers: [],
  };
}

const peer = fc.record({
  n: fc.integer({ min: 2, max: 9 }),
  host: fc.integer({ min: 2, max: 5 }),
  mac: fc.integer({ min: 0, max: 1 }),
  direct: fc.boolean(),
});
const network8 = fc.uniqueArray(peer, { selector: ({ n }) => n }).map(desiredFor);

test('diffDesired() asks for what a comparison with the kernel asks for, whatever the leases become', () => {
  fc.assert(
    fc.property(network8, network8, (before, after) => {
      const compared = diffState(after, kernelOf(before), owner).changes;
      expect(diffDesired(before, after, owner)!.map(describeChange)).toEqual(compared.map(describeChange));
    }),
  );
});

/** Some peers have two leases with the same subnet, as a node has for a moment that takes up another family. */
const doubled = fc
  .tuple(fc.uniqueArray(peer, { selector: ({ n }) => n }), fc.infiniteStream(fc.boolean()))
  .map(([peers, twice]) => desiredFor(peers.flatMap((each) => (twice.next().value ? [each, each] : [each]))));

/** The same values, with the objects of `known` for what is equal in it, as a backend that remembers gives them. */
function sharing(known: DesiredState, state: DesiredState): DesiredState {
  const share = <T>(of: readonly T[] = [], values: readonly T[] = []): readonly T[] =>
    values.map((value) => of.find((other) => isDeepStrictEqual(other, value)) ?? value);
  return {
    ...state,
    routes: share(known.routes, state.routes),
    neighbours: share(known.neighbours, state.neighbours),
    fdb: share(known.fdb, state.fdb),
  };
}

/** The same values in other objects. */
function copyOf(state: DesiredState): DesiredState {
  const copies = <T extends object>(values: readonly T[] = []): readonly T[] => values.map((value) => ({ ...value }));
  return { ...state, routes: copies(state.routes), neighbours: copies(state.neighbours), fdb: copies(state.fdb) };
}

test('diffDesired() asks for the same where the two states have objects in common, also of leases that say the same twice', () => {
  fc.assert(
    fc.property(doubled, doubled, (before, after) => {
      const changes = diffDesired(before, sharing(before, after), owner)!.map(describeChange);
      expect(changes).toEqual(diffDesired(before, copyOf(after), owner)!.map(describeChange));
    }),
  );
});

test('diffDesired() finds nothing to do between two states that say the same', () => {
  const peers = [{ n: 2, host: 2, mac: 0, direct: false }];
  expect(diffDesired(desiredFor(peers), desiredFor(peers), owner)).toEqual([]);
});

test('diffDesired() leaves devices to a comparison', () => {
  const before = desiredFor([]);
  const after = { ...before, links: before.links.map((each) => ({ ...each, mtu: 1430 })) };
  expect(diffDesired(before, after, owner)).toBeUndefined();
});
