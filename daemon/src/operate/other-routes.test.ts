import { parseIp } from '@flannel-ts/inet/ip';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import type { ActualRoute } from '../state/actual.ts';
import { judgeOtherRoutes } from './other-routes.ts';

const PEERS = [2, 3].map((n) => ({ subnet: parsePrefix(`10.5.${n}.0/24`), peer: parseIp(`10.64.0.${n}`) }));
const BY_SUBNET = PEERS.map(({ subnet }) => subnet);
const BY_NETWORK = [parsePrefix('10.5.0.0/16')];

const route = (dst: string, more: Partial<ActualRoute> = {}): ActualRoute => ({
  dst: parsePrefix(dst),
  type: 'unicast',
  link: 'eth1',
  gateway: parseIp('10.64.0.1'),
  metric: 0,
  protocol: 3,
  ...more,
});

test('judgeOtherRoutes() names a more specific route into a subnet of a peer, with the command that removes it', () => {
  expect(judgeOtherRoutes(PEERS, BY_SUBNET, [route('10.5.2.128/25')], [])).toEqual({
    trouble:
      'packets for 10.5.2.128/25 do not go to the node at 10.64.0.2 but by a route that is not ours, 10.5.2.128/25 via 10.64.0.1 dev eth1 (protocol 3)',
    remedy: 'ip route delete 10.5.2.128/25 via 10.64.0.1 dev eth1',
  });
});

test('judgeOtherRoutes() names what takes a whole subnet where the overlay has one route to the network', () => {
  const { trouble } = judgeOtherRoutes(PEERS, BY_NETWORK, [route('10.5.2.0/23')], []);
  expect(trouble).toContain('packets for 10.5.2.0/24 do not go to the node at 10.64.0.2');
  expect(judgeOtherRoutes(PEERS, BY_SUBNET, [route('10.5.2.0/23')], [])).toEqual({});
});

test('judgeOtherRoutes() has nothing to say of a route that no packet for a peer takes', () => {
  expect(judgeOtherRoutes(PEERS, BY_NETWORK, [route('10.5.9.0/24')], [])).toEqual({});
  // The same destination is a conflict, which the comparison of routes reports.
  expect(judgeOtherRoutes(PEERS, BY_SUBNET, [route('10.5.2.0/24')], [])).toEqual({});
});

test('judgeOtherRoutes() only mentions a route to a single address', () => {
  const { trouble, note } = judgeOtherRoutes(PEERS, BY_SUBNET, [route('10.5.2.7/32')], []);
  expect(trouble).toBeUndefined();
  expect(note).toContain('unless it is meant, remove it with "ip route delete 10.5.2.7/32 via 10.64.0.1 dev eth1"');
});

test('judgeOtherRoutes() counts what more there is, and writes commands of the right family and type', () => {
  const [first] = PEERS;
  const rule = { priority: 100 };
  const detour = { ...first!, rule, way: 'table 7, by eth1' };
  expect(judgeOtherRoutes(PEERS, BY_SUBNET, [route('10.5.3.0/25')], [detour]).trouble).toMatch(/; and 1 more$/);
  expect(judgeOtherRoutes(PEERS, BY_SUBNET, [], [detour])).toEqual({
    trouble:
      'packets for 10.5.2.0/24 do not go to the node at 10.64.0.2 but, by the rule 100, which is not ours, to table 7, by eth1',
    remedy: 'ip rule delete priority 100',
  });
  const peers6 = [{ subnet: parsePrefix('fd00:5:0:2::/64'), peer: parseIp('fd00:64::2') }];
  const blackhole: ActualRoute = { dst: parsePrefix('fd00:5:0:2::/65'), type: 'blackhole', metric: 1024, protocol: 3 };
  expect(judgeOtherRoutes(peers6, [], [blackhole], []).remedy).toBe('ip -6 route delete blackhole fd00:5:0:2::/65');
});
