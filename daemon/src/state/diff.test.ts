import { parseIp } from '@flannel-ts/inet/ip';
import { parseInterfaceAddress, parsePrefix } from '@flannel-ts/inet/prefix';
import type { DesiredState } from './desired.ts';
import { type ActualState, describeChange, diffState, missingLinks } from './diff.ts';

const desired: DesiredState = {
  links: [{ name: 'flannel0', kind: 'tun', mtu: 1472, addresses: [parseInterfaceAddress('10.5.1.0/32')] }],
  routes: [{ dst: parsePrefix('10.5.0.0/16'), link: 'flannel0' }],
};
const link = { name: 'flannel0', index: 5, mtu: 1472, up: true, addresses: [parseInterfaceAddress('10.5.1.0/32')] };
const route = { dst: parsePrefix('10.5.0.0/16'), link: 'flannel0', priority: 0 };
const asDesired: ActualState = { links: [link], routes: [route] };
const changes = (actual: Partial<ActualState>) =>
  diffState(desired, { ...asDesired, ...actual }).map((change) => describeChange(change));

describe('diffState()', () => {
  test('diffState() has nothing to do when all is as desired', () => {
    expect(changes({})).toEqual([]);
  });

  test('diffState() sets up a new device in the order the kernel needs', () => {
    const fresh = { ...link, mtu: 1500, up: false, addresses: [] };
    expect(changes({ links: [fresh], routes: [] })).toEqual([
      'address add 10.5.1.0/32 dev flannel0',
      'link set flannel0 mtu 1472 up',
      'route replace 10.5.0.0/16 dev flannel0',
    ]);
  });

  test('diffState() sets what alone is wrong with a device: its MTU, or that it is down', () => {
    expect(changes({ links: [{ ...link, mtu: 1300 }] })).toEqual(['link set flannel0 mtu 1472']);
    expect(changes({ links: [{ ...link, up: false }] })).toEqual(['link set flannel0 up']);
  });

  test('diffState() waits with the routes of a device that is missing', () => {
    const actual: ActualState = { links: [], routes: [] };
    expect(diffState(desired, actual)).toEqual([]);
    expect(missingLinks(desired, actual)).toEqual(desired.links);
  });

  test('diffState() adds the right address before it removes a wrong one', () => {
    const wrong = { ...link, addresses: [parseInterfaceAddress('10.5.9.0/32')] };
    expect(changes({ links: [wrong] })).toEqual([
      'address add 10.5.1.0/32 dev flannel0',
      'address delete 10.5.9.0/32 dev flannel0',
    ]);
  });

  test('diffState() deletes routes of ours that nothing wants any more', () => {
    const stale = [
      { dst: parsePrefix('10.9.0.0/16'), link: 'eth0', gateway: parseIp('10.0.0.9'), priority: 0 },
      { dst: parsePrefix('10.8.0.0/16'), link: undefined, priority: 0 },
      { ...route, priority: 50 },
    ];
    expect(changes({ routes: [route, ...stale] })).toEqual([
      'route delete 10.9.0.0/16 via 10.0.0.9 dev eth0',
      'route delete 10.8.0.0/16',
      'route delete 10.5.0.0/16 dev flannel0',
    ]);
  });

  test('diffState() replaces a route that leads elsewhere, in one step', () => {
    expect(changes({ routes: [{ ...route, link: 'eth0', gateway: parseIp('10.0.0.9') }] })).toEqual([
      'route replace 10.5.0.0/16 dev flannel0',
    ]);
  });
});

test('diffState() puts the IPv6 side right, and leaves the IPv4 side as it is', () => {
  const dual: DesiredState = {
    links: [{ ...desired.links[0]!, addresses: [...link.addresses, parseInterfaceAddress('fd00:0:0:1::/128')] }],
    routes: [...desired.routes, { dst: parsePrefix('fd00::/48'), link: 'flannel0' }],
  };
  const stale = { dst: parsePrefix('fd09::/48'), link: 'flannel0', priority: 0 };
  const actual = { links: [link], routes: [route, stale] };
  expect(diffState(dual, actual).map(describeChange)).toEqual([
    'route delete fd09::/48 dev flannel0',
    'address add fd00:0:0:1::/128 dev flannel0',
    'route replace fd00::/48 dev flannel0',
  ]);
  const right = {
    links: [{ ...link, addresses: dual.links[0]!.addresses }],
    routes: [route, { ...stale, ...dual.routes[1]! }],
  };
  expect(diffState(dual, right)).toEqual([]);
});
