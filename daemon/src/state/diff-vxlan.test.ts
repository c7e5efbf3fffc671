import { RTPROT_FLANNEL } from '@flannel-ts/flannel/defaults';
import { parseIp } from '@flannel-ts/inet/ip';
import { parseMac } from '@flannel-ts/inet/mac';
import { parseInterfaceAddress, parsePrefix } from '@flannel-ts/inet/prefix';
import { RTPROT_BOOT, RTPROT_STATIC } from '@flannel-ts/rtnetlink/constants';
import { VXLAN } from '../../testing/vxlan.ts';
import type { ActualFdbEntry, ActualLink, ActualNeighbour, ActualRoute, ActualState } from './actual.ts';
import { describeChange } from './change.ts';
import type { DesiredState } from './desired.ts';
import { diffState } from './diff.ts';
import { guardMetric } from './guard.ts';

const network = parsePrefix('10.5.0.0/16');
const GUARD = guardMetric(network);
const link = 'flannel.1';
const { mac } = VXLAN;
const peerMac = (n: number) => parseMac(`0a:58:0a:05:0${n}:00`);
const PEERS = [2, 3];

function desiredFor(peers: readonly number[]): DesiredState {
  return {
    links: [{ ...VXLAN, name: link, mtu: 1450, addresses: [parseInterfaceAddress('10.5.1.0/32')] }],
    routes: [
      { type: 'unreachable', dst: network, metric: GUARD },
      ...peers.map((n) => {
        const dst = parsePrefix(`10.5.${n}.0/24`);
        return { type: 'unicast', dst, link, gateway: dst.base, onlink: true } as const;
      }),
    ],
    neighbours: peers.map((n) => ({ link, address: parseIp(`10.5.${n}.0`), mac: peerMac(n) })),
    fdb: peers.map((n) => ({ link, mac: peerMac(n), remote: parseIp(`10.0.0.${n}`) })),
    complete: true,
  };
}

const desired = desiredFor(PEERS);
const actualLink: ActualLink = {
  name: link,
  index: 7,
  mtu: 1450,
  up: true,
  arp: true,
  addresses: [parseInterfaceAddress('10.5.1.0/32')],
  attributes: { ...VXLAN, group: undefined, omitsChecksums: false, oddities: [] },
};
const guard: ActualRoute = { type: 'unreachable', dst: network, metric: GUARD, protocol: RTPROT_FLANNEL };
const routeTo = (n: number, more: Partial<ActualRoute> = {}): ActualRoute => {
  const dst = parsePrefix(`10.5.${n}.0/24`);
  return {
    type: 'unicast',
    dst,
    link,
    gateway: dst.base,
    onlink: true,
    metric: 0,
    protocol: RTPROT_FLANNEL,
    ...more,
  };
};
const neighbourOf = (n: number, more: Partial<ActualNeighbour> = {}): ActualNeighbour => ({
  link,
  address: parseIp(`10.5.${n}.0`),
  mac: peerMac(n),
  permanent: true,
  ...more,
});
const fdbOf = (n: number, more: Partial<ActualFdbEntry> = {}): ActualFdbEntry => ({
  link,
  mac: peerMac(n),
  remote: parseIp(`10.0.0.${n}`),
  permanent: true,
  ...more,
});
const asDesired: ActualState = {
  links: [actualLink],
  routes: [guard, ...PEERS.map((n) => routeTo(n))],
  neighbours: PEERS.map((n) => neighbourOf(n)),
  fdb: PEERS.map((n) => fdbOf(n)),
  leftovers: [],
};
const difference = (actual: Partial<ActualState>, wanted = desired) =>
  diffState(wanted, { ...asDesired, ...actual }, { networks: [network] });
const changes = (actual: Partial<ActualState>, wanted = desired) => {
  const found = difference(actual, wanted);
  expect([found.conflicts, found.foreignLinks]).toEqual([[], []]);
  return found.changes.map(describeChange);
};

const OF_PEERS = [
  'fdb set 0a:58:0a:05:02:00 dev flannel.1 dst 10.0.0.2',
  'fdb set 0a:58:0a:05:03:00 dev flannel.1 dst 10.0.0.3',
  'neighbour set 10.5.2.0 lladdr 0a:58:0a:05:02:00 dev flannel.1',
  'neighbour set 10.5.3.0 lladdr 0a:58:0a:05:03:00 dev flannel.1',
  'route add 10.5.2.0/24 via 10.5.2.0 dev flannel.1 onlink',
  'route add 10.5.3.0/24 via 10.5.3.0 dev flannel.1 onlink',
];

test('diffState() has nothing to do when a vxlan device and all of its peers are as desired', () => {
  expect(changes({})).toEqual([]);
});

test('diffState() makes the unreachable route, the device, the entries and the routes, in this order', () => {
  expect(changes({ links: [], routes: [], neighbours: [], fdb: [] })).toEqual([
    `route add unreachable 10.5.0.0/16 metric ${GUARD}`,
    'link add flannel.1 type vxlan id 1 dev eth0 local 10.0.0.1 dstport 8472 nolearning',
    'address add 10.5.1.0/32 dev flannel.1',
    'link set flannel.1 up',
    ...OF_PEERS,
  ]);
});

test('diffState() remakes a device and then all that went with it', () => {
  const other = {
    ...actualLink,
    attributes: { ...VXLAN, vni: 9, group: undefined, omitsChecksums: false, oddities: [] },
  };
  expect(changes({ links: [other] })).toEqual([
    'link delete and add flannel.1 type vxlan id 1 dev eth0 local 10.0.0.1 dstport 8472 nolearning (VNI is 9, not 1)',
    'address add 10.5.1.0/32 dev flannel.1',
    'link set flannel.1 up',
    ...OF_PEERS,
  ]);
});

test('diffState() sets the neighbours again that the kernel forgets with a change of the device', () => {
  const neighbours = OF_PEERS.filter((change) => change.startsWith('neighbour'));
  expect(changes({ links: [{ ...actualLink, arp: false }] })).toEqual(['link set flannel.1 arp on', ...neighbours]);
  expect(changes({ links: [{ ...actualLink, master: 'br0' }] })).toEqual(['link set flannel.1 nomaster (it was br0)']);
});

test('diffState() remakes no device before the peers are known, without which it could not carry packets', () => {
  const other = {
    ...actualLink,
    attributes: { ...VXLAN, vni: 9, group: undefined, omitsChecksums: false, oddities: [] },
  };
  expect(changes({ links: [other] }, { ...desiredFor([]), complete: false })).toEqual([]);
});

test('diffState() leaves a device of another kind alone, and waits with what needs it', () => {
  const dummy = { ...actualLink, addresses: [], attributes: { kind: 'other', description: 'a dummy device' } } as const;
  const found = difference({ links: [dummy], routes: [], neighbours: [], fdb: [] });
  expect(found.changes.map(describeChange)).toEqual([`route add unreachable 10.5.0.0/16 metric ${GUARD}`]);
  expect(found.foreignLinks).toEqual([{ name: link, description: 'a dummy device' }]);
});

test('diffState() keeps the route of another flannel as long as the device is missing by which packets would go instead', () => {
  const superseded = [{ subnet: parsePrefix('10.5.2.0/24'), peer: parseIp('10.0.0.2') }];
  const wanted = { ...desired, superseded };
  const dummy = { ...actualLink, addresses: [], attributes: { kind: 'other', description: 'a dummy device' } } as const;
  const hostGw = routeTo(2, { link: 'eth0', gateway: parseIp('10.0.0.2'), protocol: RTPROT_BOOT });
  const found = difference({ links: [dummy], routes: [guard, hostGw], neighbours: [], fdb: [] }, wanted);
  expect(found.changes).toEqual([]);
  const routes = [guard, hostGw, routeTo(3)];
  expect(changes({ routes }, wanted)).toEqual(['route replace 10.5.2.0/24 via 10.5.2.0 dev flannel.1 onlink']);
});

test('diffState() puts back entries that are gone, or that somebody has changed', () => {
  expect(changes({ neighbours: [neighbourOf(2)], fdb: [fdbOf(3)] })).toEqual([OF_PEERS[0], OF_PEERS[3]]);
  expect(changes({ neighbours: [neighbourOf(2, { mac }), neighbourOf(3, { permanent: false })] })).toEqual([
    OF_PEERS[2],
    OF_PEERS[3],
  ]);
  expect(changes({ fdb: [fdbOf(2, { remote: parseIp('10.0.0.9') }), fdbOf(3, { permanent: false })] })).toEqual([
    OF_PEERS[0],
    OF_PEERS[1],
  ]);
});

test('diffState() takes the route away before the entries when a peer is gone', () => {
  expect(changes({}, desiredFor([2]))).toEqual([
    'route delete 10.5.3.0/24 via 10.5.3.0 dev flannel.1 onlink',
    'neighbour delete 10.5.3.0 lladdr 0a:58:0a:05:03:00 dev flannel.1',
    'fdb delete 0a:58:0a:05:03:00 dev flannel.1 dst 10.0.0.3',
  ]);
});

test('diffState() deletes nothing of peers while not all are known', () => {
  expect(changes({}, { ...desiredFor([]), complete: false })).toEqual([]);
});

test('diffState() does not touch what the kernel has learned', () => {
  const learned = {
    neighbours: [...asDesired.neighbours, neighbourOf(7, { permanent: false })],
    fdb: [...asDesired.fdb, fdbOf(7, { permanent: false })],
  };
  expect(changes(learned)).toEqual([]);
});

test('diffState() changes four things when a peer comes back with another MAC address', () => {
  const neighbours = [{ ...desired.neighbours![0]!, mac: peerMac(8) }, desired.neighbours![1]!];
  const fdb = [{ ...desired.fdb![0]!, mac: peerMac(8) }, desired.fdb![1]!];
  expect(changes({}, { ...desired, neighbours, fdb })).toEqual([
    'fdb set 0a:58:0a:05:08:00 dev flannel.1 dst 10.0.0.2',
    'neighbour set 10.5.2.0 lladdr 0a:58:0a:05:08:00 dev flannel.1',
    'fdb delete 0a:58:0a:05:02:00 dev flannel.1 dst 10.0.0.2',
  ]);
});

test('diffState() puts a route right that is no longer onlink, or of another scope', () => {
  const { onlink, ...without } = routeTo(2);
  expect(onlink).toBe(true);
  const replaced = ['route replace 10.5.2.0/24 via 10.5.2.0 dev flannel.1 onlink'];
  expect(changes({ routes: [guard, without, routeTo(3)] })).toEqual(replaced);
  expect(changes({ routes: [guard, routeTo(2, { scope: 'link' }), routeTo(3)] })).toEqual(replaced);
});

test("diffState() takes over flannel's own routes by the device without a gap, and removes those of nodes that are gone", () => {
  const boot = { protocol: RTPROT_BOOT };
  const routes = [guard, routeTo(2, boot), routeTo(3, boot), routeTo(4, boot)];
  expect(changes({ routes })).toEqual([
    'route replace 10.5.2.0/24 via 10.5.2.0 dev flannel.1 onlink',
    'route replace 10.5.3.0/24 via 10.5.3.0 dev flannel.1 onlink',
    'route delete 10.5.4.0/24 via 10.5.4.0 dev flannel.1 onlink',
  ]);
  const partial = { ...desiredFor([]), complete: false };
  expect(changes({ routes }, partial)).toEqual([]);
});

test("diffState() leaves an operator's route by the device alone", () => {
  const operators = routeTo(4, { protocol: RTPROT_STATIC });
  const other = routeTo(5, { protocol: RTPROT_BOOT, gateway: parseIp('10.5.5.1') });
  expect(changes({ routes: [...asDesired.routes, operators, other] })).toEqual([]);
});

test('diffState() replaces routes by the device of an earlier backend in one step', () => {
  const wanted: DesiredState = {
    links: [],
    routes: PEERS.map((n) => ({
      type: 'unicast',
      dst: parsePrefix(`10.5.${n}.0/24`),
      link: 'eth0',
      gateway: parseIp(`10.0.0.${n}`),
    })),
    complete: true,
  };
  const routes = [routeTo(2), routeTo(3, { protocol: RTPROT_BOOT }), routeTo(4)];
  expect(changes({ links: [], routes, neighbours: [], fdb: [], leftovers: [link] }, wanted)).toEqual([
    'route replace 10.5.2.0/24 via 10.0.0.2 dev eth0',
    'route replace 10.5.3.0/24 via 10.0.0.3 dev eth0',
    'route delete 10.5.4.0/24 via 10.5.4.0 dev flannel.1 onlink',
  ]);
});
