import { RTPROT_FLANNEL } from '@flannel-ts/flannel/defaults';
import { parseIp } from '@flannel-ts/inet/ip';
import { parseInterfaceAddress, parsePrefix } from '@flannel-ts/inet/prefix';
import { RTPROT_BOOT, RTPROT_KERNEL, RTPROT_STATIC } from '@flannel-ts/rtnetlink/constants';
import type { ActualLink, ActualRoute, ActualState } from './actual.ts';
import { blackholeRoute } from './blackhole.ts';
import { describeChange, describeRoute } from './change.ts';
import type { DesiredState } from './desired.ts';
import { diffState } from './diff.ts';
import { missingTunLinks } from './diff-links.ts';
import { foreignRoutes } from './diff-routes.ts';
import { guardMetric } from './guard.ts';
import type { Owner } from './owner.ts';

const network = parsePrefix('10.5.0.0/16');
const network6 = parsePrefix('fd00::/48');
const owner: Owner = { networks: [network, network6] };
const desired: DesiredState = {
  links: [{ name: 'flannel0', kind: 'tun', mtu: 1472, addresses: [parseInterfaceAddress('10.5.1.0/32')] }],
  routes: [
    { type: 'unreachable', dst: network, metric: guardMetric(network) },
    { type: 'unicast', dst: network, link: 'flannel0' },
  ],
  complete: true,
};
const link: ActualLink = {
  name: 'flannel0',
  index: 5,
  mtu: 1472,
  up: true,
  arp: true,
  addresses: [parseInterfaceAddress('10.5.1.0/32')],
  attributes: { kind: 'tun' },
};
const via = (dst: string, more: Partial<ActualRoute> = {}): ActualRoute => ({
  dst: parsePrefix(dst),
  type: 'unicast',
  link: 'flannel0',
  metric: dst.includes(':') ? 1024 : 0,
  protocol: RTPROT_FLANNEL,
  ...more,
});
const guard: ActualRoute = {
  dst: network,
  type: 'unreachable',
  metric: guardMetric(network),
  protocol: RTPROT_FLANNEL,
};
const route = via('10.5.0.0/16');
const nothing: ActualState = { links: [], routes: [], neighbours: [], fdb: [], leftovers: [] };
const asDesired: ActualState = { ...nothing, links: [link], routes: [guard, route] };
const GUARD = `route add unreachable 10.5.0.0/16 metric ${guardMetric(network)}`;

function difference(actual: Partial<ActualState>, wanted = desired) {
  const { changes, conflicts } = diffState(wanted, { ...asDesired, ...actual }, owner);
  return { changes: changes.map(describeChange), conflicts: conflicts.map(({ foreign }) => describeRoute(foreign)) };
}
const changes = (actual: Partial<ActualState>, wanted = desired) => {
  const { changes: found, conflicts } = difference(actual, wanted);
  expect(conflicts).toEqual([]);
  return found;
};

describe('diffState()', () => {
  test('diffState() has nothing to do when all is as desired', () => {
    expect(changes({})).toEqual([]);
  });

  test('diffState() makes the unreachable route first, then sets up a new device in the order the kernel needs', () => {
    const fresh = { ...link, mtu: 1500, up: false, addresses: [] };
    expect(changes({ links: [fresh], routes: [] })).toEqual([
      GUARD,
      'address add 10.5.1.0/32 dev flannel0',
      'link set flannel0 mtu 1472 up',
      'route add 10.5.0.0/16 dev flannel0',
    ]);
  });

  test('diffState() sets what alone is wrong with a device: its MTU, or that it is down', () => {
    expect(changes({ links: [{ ...link, mtu: 1300 }] })).toEqual(['link set flannel0 mtu 1472']);
    expect(changes({ links: [{ ...link, up: false }] })).toEqual(['link set flannel0 up']);
  });

  test('diffState() keeps a blackhole route beside the route of a bridge to the same subnet, and removes it when it is not wanted', () => {
    const own = parsePrefix('10.5.1.0/24');
    const wanted: DesiredState = { ...desired, routes: [...desired.routes, blackholeRoute(own)] };
    const bridge = via('10.5.1.0/24', { link: 'cni0', protocol: RTPROT_KERNEL });
    const there: ActualRoute = { ...guard, type: 'blackhole', dst: own, metric: guardMetric(own) };
    const line = `blackhole 10.5.1.0/24 metric ${guardMetric(own)}`;
    expect(changes({ routes: [guard, route, bridge] }, wanted)).toEqual([`route add ${line}`]);
    expect(changes({ routes: [guard, route, bridge, there] }, wanted)).toEqual([]);
    expect(changes({ routes: [guard, route, bridge, there] })).toEqual([`route delete ${line}`]);
    const others = { ...there, protocol: RTPROT_STATIC };
    expect(changes({ routes: [guard, route, others] })).toEqual([]);
  });

  test('diffState() waits with the routes of a device that is missing, but not with the unreachable one', () => {
    expect(changes({ links: [], routes: [] })).toEqual([GUARD]);
    expect(missingTunLinks(desired, nothing)).toEqual(desired.links);
  });

  test('diffState() adds the right address before it removes a wrong one', () => {
    const wrong = { ...link, addresses: [parseInterfaceAddress('10.5.9.0/32')] };
    expect(changes({ links: [wrong] })).toEqual([
      'address add 10.5.1.0/32 dev flannel0',
      'address delete 10.5.9.0/32 dev flannel0',
    ]);
  });

  test('diffState() deletes stale routes of ours inside our networks', () => {
    const stale = [
      via('10.5.9.0/24', { link: 'eth0', gateway: parseIp('10.0.0.9') }),
      { ...route, metric: 50 },
      via('fd00:0:0:1::/64'),
    ];
    expect(changes({ routes: [...asDesired.routes, ...stale] })).toEqual([
      'route delete 10.5.9.0/24 via 10.0.0.9 dev eth0',
      'route delete 10.5.0.0/16 dev flannel0 metric 50',
      'route delete fd00:0:0:1::/64 dev flannel0',
    ]);
  });

  test('diffState() deletes no route of ours while not all is known', () => {
    const stale = via('10.5.9.0/24', { type: 'unreachable', metric: guardMetric(network) });
    const partial = { ...desired, complete: false };
    expect(changes({ routes: [...asDesired.routes, stale] }, partial)).toEqual([]);
  });

  test('diffState() replaces a route of ours that leads elsewhere, in one step', () => {
    const elsewhere = { ...route, link: 'eth0', gateway: parseIp('10.0.0.9') };
    expect(changes({ routes: [guard, elsewhere] })).toEqual(['route replace 10.5.0.0/16 dev flannel0']);
  });

  test('diffState() leaves to another flanneld what is its own, although it is inside our network', () => {
    const inner = parsePrefix('10.5.128.0/20');
    const others = [
      via('10.5.128.0/20', { link: 'flannel1' }),
      via('10.5.128.0/20', { type: 'unreachable', metric: guardMetric(inner) }),
      via('10.6.0.0/16', { link: 'eth0' }),
    ];
    expect(changes({ routes: [...asDesired.routes, ...others] })).toEqual([]);
  });

  test.each([
    ['static', RTPROT_STATIC],
    ['boot', RTPROT_BOOT],
  ])('diffState() neither replaces nor deletes a %s route to the network, and reports it', (_, protocol) => {
    const foreign = via('10.5.0.0/16', { protocol, link: 'eth0', gateway: parseIp('10.0.0.9') });
    const conflicts = ['10.5.0.0/16 via 10.0.0.9 dev eth0'];
    expect(difference({ routes: [guard, foreign] })).toEqual({ changes: [], conflicts });
    // The kernel keeps both; which one is first, nobody says.
    expect(difference({ routes: [guard, foreign, route] })).toEqual({ changes: [], conflicts });
    // To replace would hit either one.
    const elsewhere = { ...route, link: 'eth1' };
    expect(difference({ routes: [guard, elsewhere, foreign] })).toEqual({
      changes: ['route delete 10.5.0.0/16 dev eth1'],
      conflicts,
    });
  });

  test('diffState() reports a foreign route that the kernel prefers, and none that it does not', () => {
    const wanted: DesiredState = { ...desired, routes: [{ type: 'unicast', dst: network6, link: 'flannel0' }] };
    const better = via('fd00::/48', { protocol: RTPROT_STATIC, metric: 100, link: 'eth0' });
    const ours = via('fd00::/48');
    expect(difference({ routes: [better, ours] }, wanted)).toEqual({
      changes: [],
      conflicts: ['fd00::/48 dev eth0 metric 100'],
    });
    expect(difference({ routes: [{ ...better, metric: 2000 }, ours] }, wanted)).toEqual({ changes: [], conflicts: [] });
  });

  test('diffState() takes away the routes that host-gw left for the same peers, and no others', () => {
    const superseded = [
      { subnet: parsePrefix('10.5.7.0/24'), peer: parseIp('10.0.0.7') },
      { subnet: parsePrefix('10.5.8.0/24'), peer: parseIp('10.0.0.8') },
    ];
    const dst = parsePrefix('10.5.8.0/24');
    const wanted: DesiredState = {
      ...desired,
      routes: [...desired.routes, { type: 'unicast', dst, link: 'flannel0' }],
      superseded,
    };
    const left = { protocol: RTPROT_BOOT, link: 'eth0' };
    const routes = [
      via('10.5.7.0/24', { ...left, gateway: parseIp('10.0.0.7') }),
      via('10.5.8.0/24', { ...left, gateway: parseIp('10.0.0.8') }),
      via('10.5.9.0/24', { ...left, gateway: parseIp('10.0.0.9') }),
      via('10.5.7.0/24', { ...left, gateway: parseIp('10.0.0.99'), metric: 5 }),
      via('10.5.7.0/24', { ...left, gateway: parseIp('10.0.0.7'), protocol: RTPROT_STATIC, metric: 6 }),
    ];
    expect(changes({ routes: [...asDesired.routes, ...routes] }, wanted)).toEqual([
      'route replace 10.5.8.0/24 dev flannel0',
      'route delete 10.5.7.0/24 via 10.0.0.7 dev eth0',
    ]);
  });

  test('diffState() puts the IPv6 side right, and leaves the IPv4 side as it is', () => {
    const dual: DesiredState = {
      ...desired,
      links: [{ ...desired.links[0]!, addresses: [...link.addresses, parseInterfaceAddress('fd00:0:0:1::/128')] }],
      routes: [...desired.routes, { type: 'unicast', dst: network6, link: 'flannel0' }],
    };
    expect(changes({}, dual)).toEqual([
      'address add fd00:0:0:1::/128 dev flannel0',
      'route add fd00::/48 dev flannel0',
    ]);
    const right = {
      links: [{ ...link, addresses: dual.links[0]!.addresses }],
      routes: [guard, route, via('fd00::/48')],
    };
    expect(changes(right, dual)).toEqual([]);
  });
});

test('foreignRoutes() are those inside the networks that neither we nor the pods of this node made', () => {
  const foreign = via('10.5.7.0/24', { protocol: RTPROT_STATIC, link: 'eth0' });
  const pods = via('10.5.1.0/24', { protocol: RTPROT_KERNEL, link: 'cni0' });
  const routes = [...asDesired.routes, foreign, pods];
  expect(foreignRoutes(desired, { ...asDesired, routes }, owner, [parsePrefix('10.5.1.0/24')])).toEqual([foreign]);
});

test('guardMetric() comes after all usual metrics, and differs between networks', () => {
  expect(guardMetric(network)).toBeGreaterThan(2 ** 31);
  expect(guardMetric(network)).toBeLessThan(2 ** 32);
  expect(guardMetric(parsePrefix('10.5.0.0/20'))).not.toBe(guardMetric(network));
});
