import { parseIp } from '@flannel-ts/inet/ip';
import { formatPrefix, parseInterfaceAddress, parsePrefix } from '@flannel-ts/inet/prefix';
import { addAddress } from '@flannel-ts/rtnetlink/address';
import { RTN_BLACKHOLE, RTPROT_KERNEL } from '@flannel-ts/rtnetlink/constants';
import { deleteLink } from '@flannel-ts/rtnetlink/link';
import { addBridge } from '@flannel-ts/rtnetlink/link-add';
import {
  addRoute,
  addRouteRequest,
  deleteRoute,
  ensureRouteAbsent,
  formatDestination,
  listRoutes,
  lookUpRoute,
  replaceRoute,
} from '@flannel-ts/rtnetlink/route';
import { listRules } from '@flannel-ts/rtnetlink/rule';
import { errorOf, type Lab, openLab } from './rtnetlink-lab.ts';

const OURS = 241;

describe('routes', () => {
  let lab: Lab;
  let index: number;
  const subnet = parsePrefix('10.5.52.0/24');

  beforeEach(() => {
    lab = openLab('route');
    index = addBridge(lab.nl, { name: 'br0', up: true }).index;
    addAddress(lab.nl, { index, address: parseInterfaceAddress('10.64.0.16/24') });
  });

  afterEach(() => lab.close());

  const shown = (...args: string[]): Record<string, unknown>[] => lab.ip('route', 'show', 'dev', 'br0', ...args);

  test('addRoute() adds what ip shows: gateway, source, protocol, priority and MTU', () => {
    addRoute(lab.nl, {
      dst: subnet,
      gateway: parseIp('10.64.0.17'),
      outIndex: index,
      source: parseIp('10.64.0.16'),
      protocol: OURS,
      priority: 7,
      mtu: 1400,
    });
    expect(lab.ip('route', 'show', '10.5.52.0/24')).toMatchObject([
      {
        type: 'unicast',
        dst: '10.5.52.0/24',
        gateway: '10.64.0.17',
        dev: 'br0',
        protocol: String(OURS),
        scope: 'global',
        prefsrc: '10.64.0.16',
        metric: 7,
        metrics: [{ mtu: 1400 }],
      },
    ]);
    expect(listRoutes(lab.nl, { protocol: OURS })).toEqual([
      {
        family: 4,
        dst: subnet,
        gateway: parseIp('10.64.0.17'),
        outIndex: index,
        source: parseIp('10.64.0.16'),
        protocol: OURS,
        scope: 0,
        table: 254,
        type: 1,
        priority: 7,
        onlink: false,
        mtu: 1400,
        nextHops: [{ gateway: parseIp('10.64.0.17'), outIndex: index, onlink: false, weight: 1 }],
      },
    ]);
  });

  test('addRoute() without a gateway has scope link, as from ip', () => {
    addRoute(lab.nl, { dst: subnet, outIndex: index });
    expect(shown('10.5.52.0/24')).toMatchObject([{ dst: '10.5.52.0/24', scope: 'link', protocol: 'boot' }]);
  });

  test('addRoute() sets the default route', () => {
    addRoute(lab.nl, { gateway: parseIp('10.64.0.1') });
    expect(lab.ip('route', 'show', 'default')).toMatchObject([{ dst: 'default', gateway: '10.64.0.1', dev: 'br0' }]);
    const [route] = listRoutes(lab.nl, { family: 4 }).filter((r) => r.dst === undefined);
    expect(route && formatDestination(route)).toBe('default');
    expect(route?.gateway).toBe(parseIp('10.64.0.1'));
  });

  test('addRoute() with a gateway no address knows needs onlink, and the kernel says so', () => {
    const route = { dst: subnet, gateway: parseIp('10.5.52.0'), outIndex: index };
    expect(errorOf(() => addRoute(lab.nl, route))).toMatchObject({
      code: 'ENETUNREACH',
      extack: 'Nexthop has invalid gateway',
      message: `Cannot add route 10.5.52.0/24 via 10.5.52.0 on link ${index}: Nexthop has invalid gateway (ENETUNREACH)`,
    });
    expect(errorOf(() => addRoute(lab.nl, { dst: subnet, gateway: route.gateway, onlink: true }))).toMatchObject({
      code: 'ENODEV',
      extack: 'Nexthop device required for onlink',
    });
    addRoute(lab.nl, { ...route, onlink: true });
    expect(shown('10.5.52.0/24')).toMatchObject([{ gateway: '10.5.52.0', flags: ['onlink'] }]);
    expect(listRoutes(lab.nl, { family: 4 }).find((r) => r.gateway === route.gateway)?.onlink).toBe(true);
  });

  test('addRoute() refuses a route that is there, and a link that is not', () => {
    addRoute(lab.nl, { dst: subnet, outIndex: index });
    expect(errorOf(() => addRoute(lab.nl, { dst: subnet, outIndex: index })).message).toBe(
      `Cannot add route 10.5.52.0/24 on link ${index}: File exists (EEXIST)`,
    );
    expect(errorOf(() => addRoute(lab.nl, { dst: subnet, outIndex: 4711 }))).toMatchObject({ code: 'ENODEV' });
    const down = addBridge(lab.nl, { name: 'br1' }).index;
    expect(errorOf(() => replaceRoute(lab.nl, { dst: subnet, outIndex: down }))).toMatchObject({
      code: 'ENETDOWN',
      extack: 'Device for nexthop is not up',
    });
  });

  test('replaceRoute() changes the next hop and leaves one route', () => {
    replaceRoute(lab.nl, { dst: subnet, gateway: parseIp('10.64.0.17'), protocol: OURS });
    replaceRoute(lab.nl, { dst: subnet, gateway: parseIp('10.64.0.18'), protocol: OURS });
    expect(shown('10.5.52.0/24')).toMatchObject([{ gateway: '10.64.0.18', protocol: String(OURS) }]);
  });

  test('deleteRoute() treats what is not given as a wildcard, and reports ESRCH when nothing matches', () => {
    addRoute(lab.nl, { dst: subnet, gateway: parseIp('10.64.0.17'), protocol: OURS, priority: 5 });
    expect(errorOf(() => deleteRoute(lab.nl, { dst: subnet, protocol: 99 }))).toMatchObject({
      code: 'ESRCH',
      message: 'Cannot delete route 10.5.52.0/24: No such process (ESRCH)',
    });
    deleteRoute(lab.nl, { dst: subnet });
    expect(shown('10.5.52.0/24')).toEqual([]);
    expect(ensureRouteAbsent(lab.nl, { dst: subnet })).toBe(false);
    expect(ensureRouteAbsent(lab.nl, { dst: subnet, outIndex: 4711 })).toBe(false);
  });

  test('deleteRoute() accepts a route as listRoutes() returned it', () => {
    const gateway = parseIp('10.64.0.17');
    addRoute(lab.nl, { dst: subnet, gateway, outIndex: index, protocol: OURS, mtu: 1400, onlink: true });
    lab.run('ip', 'route', 'add', '10.5.53.0/24', 'dev', 'br0');
    lab.run('ip', 'route', 'add', 'blackhole', '10.5.0.0/16');
    for (const route of listRoutes(lab.nl, { family: 4 }).filter((r) => r.protocol !== RTPROT_KERNEL))
      deleteRoute(lab.nl, route);
    expect(lab.ip('route', 'show')).toMatchObject([{ protocol: 'kernel' }]);
  });

  test('listRoutes() filters by protocol, link and table, and keeps to the main table', () => {
    const other = addBridge(lab.nl, { name: 'br1', up: true }).index;
    addRoute(lab.nl, { dst: subnet, outIndex: index, protocol: OURS });
    addRoute(lab.nl, { dst: parsePrefix('10.5.53.0/24'), outIndex: other, protocol: OURS });
    addRoute(lab.nl, { dst: parsePrefix('10.5.54.0/24'), outIndex: other, protocol: 99, table: 1000 });
    const list = (filter: Parameters<typeof listRoutes>[1]): string[] =>
      listRoutes(lab.nl, { family: 4, ...filter }).map(formatDestination);
    expect(list({ protocol: OURS })).toEqual(['10.5.52.0/24', '10.5.53.0/24']);
    expect(list({ protocol: OURS, outIndex: other })).toEqual(['10.5.53.0/24']);
    expect(list({ table: 1000 })).toEqual(['10.5.54.0/24']);
    expect(listRoutes(lab.nl, { table: 1000 })[0]?.table).toBe(1000);
    expect(list({ protocol: 99 })).toEqual([]);
    expect(list({ protocol: 99, table: 0 })).toEqual(['10.5.54.0/24']);
    expect(list({ table: 4242 })).toEqual([]);
    expect(list({ outIndex: 4711 })).toEqual([]);
    const main = lab.ip<{ dst: string }>('route', 'show').map((r) => r.dst);
    expect(list({})).toEqual(main);
  });

  test('listRoutes() reads blackholes and multipath routes', () => {
    lab.run('ip', 'route', 'add', 'blackhole', '10.5.0.0/16');
    lab.run(
      'ip',
      'route',
      'add',
      '10.6.0.0/16',
      'nexthop',
      'via',
      '10.64.0.17',
      'weight',
      '2',
      'nexthop',
      'via',
      '10.64.0.18',
    );
    const byDst = new Map(listRoutes(lab.nl, { family: 4 }).map((route) => [formatDestination(route), route]));
    expect(byDst.get('10.5.0.0/16')).toMatchObject({ type: RTN_BLACKHOLE, nextHops: [], outIndex: undefined });
    expect(byDst.get('10.6.0.0/16')).toMatchObject({
      gateway: undefined,
      nextHops: [
        { gateway: parseIp('10.64.0.17'), outIndex: index, weight: 2 },
        { gateway: parseIp('10.64.0.18'), outIndex: index, weight: 1 },
      ],
    });
    addRoute(lab.nl, { dst: parsePrefix('10.7.0.0/16'), type: RTN_BLACKHOLE });
    expect(lab.ip('route', 'show', '10.7.0.0/16')).toMatchObject([{ type: 'blackhole' }]);
  });

  test('lookUpRoute() answers as ip route get', () => {
    addRoute(lab.nl, { dst: subnet, gateway: parseIp('10.64.0.17') });
    const route = lookUpRoute(lab.nl, parseIp('10.5.52.9'));
    const [theirs] = lab.ip('route', 'get', '10.5.52.9');
    expect(theirs).toMatchObject({ gateway: '10.64.0.17', dev: 'br0', prefsrc: '10.64.0.16' });
    expect(route).toMatchObject({
      gateway: parseIp('10.64.0.17'),
      outIndex: index,
      source: parseIp('10.64.0.16'),
    });
    expect(lookUpRoute(lab.nl, parseIp('10.64.0.99'))?.gateway).toBeUndefined();
    expect(errorOf(() => lookUpRoute(lab.nl, parseIp('192.0.2.1')))).toMatchObject({
      code: 'ENETUNREACH',
      message: expect.stringContaining('Cannot look up the route to 192.0.2.1: '),
    });
  });

  test('routes go with their link', () => {
    addRoute(lab.nl, { dst: subnet, outIndex: index });
    deleteLink(lab.nl, index);
    expect(listRoutes(lab.nl, { family: 4 })).toEqual([]);
  });

  test('5000 routes are listed whole, in several datagrams', () => {
    for (let i = 0; i < 5000; i++) {
      addRoute(lab.nl, {
        dst: parsePrefix(`10.${128 + (i >> 8)}.${i & 255}.0/24`),
        outIndex: index,
        protocol: OURS,
      });
    }
    const routes = listRoutes(lab.nl, { protocol: OURS });
    expect(routes).toHaveLength(5000);
    expect(new Set(routes.map((route) => route.dst?.base)).size).toBe(5000);
    expect(routes[0]?.dst && formatPrefix(routes[0].dst)).toBe('10.128.0.0/24');
  });

  test('requestAll() adds 5000 routes, and says which the kernel refused', () => {
    const dsts = Array.from({ length: 5000 }, (_, n) => parsePrefix(`10.${128 + (n >> 8)}.${n & 255}.0/24`));
    const taken = [0, 63, 64, 4999];
    for (const n of taken) addRoute(lab.nl, { dst: dsts[n]!, outIndex: index, protocol: OURS });
    const refusals = lab.nl.requestAll(dsts.map((dst) => addRouteRequest({ dst, outIndex: index, protocol: OURS })));
    expect(refusals.flatMap((error, n) => (error === undefined ? [] : [n]))).toEqual(taken);
    expect(refusals[64]?.message).toBe(`Cannot add route 10.128.64.0/24 on link ${index}: File exists (EEXIST)`);
    expect(listRoutes(lab.nl, { protocol: OURS })).toHaveLength(5000);
    const again = lab.nl.requestAll(dsts.map((dst) => addRouteRequest({ dst, outIndex: index, protocol: OURS })));
    expect(again.map((error) => error?.code)).toEqual(dsts.map(() => 'EEXIST'));
  });

  test('IPv6 routes are added, replaced, listed, looked up and deleted', () => {
    addAddress(lab.nl, { index, address: parseInterfaceAddress('fd00:64::16/64'), noDad: true });
    const dst = parsePrefix('fd00:10:5::/80');
    const gateway = parseIp('fd00:64::17');
    addRoute(lab.nl, { dst, gateway, outIndex: index, protocol: OURS });
    replaceRoute(lab.nl, { dst, gateway: parseIp('fd00:64::18'), outIndex: index, protocol: OURS });
    expect(lab.ip('-6', 'route', 'show', 'proto', String(OURS))).toMatchObject([
      { dst: 'fd00:10:5::/80', gateway: 'fd00:64::18', dev: 'br0' },
    ]);
    const [route, ...rest] = listRoutes(lab.nl, { family: 6, protocol: OURS });
    expect(rest).toEqual([]);
    expect(route?.dst && formatPrefix(route.dst)).toBe('fd00:10:5::/80');
    expect(lookUpRoute(lab.nl, parseIp('fd00:10:5::9'))?.gateway).toBe(parseIp('fd00:64::18'));
    addRoute(lab.nl, { family: 6, outIndex: index, protocol: OURS });
    expect(lab.ip('-6', 'route', 'show', 'default')).toMatchObject([{ dst: 'default', dev: 'br0' }]);
    for (const each of listRoutes(lab.nl, { family: 6, protocol: OURS })) deleteRoute(lab.nl, each);
    expect(listRoutes(lab.nl, { family: 6, protocol: OURS })).toEqual([]);
    expect(ensureRouteAbsent(lab.nl, { dst })).toBe(false);
  });

  test('listRules() has what "ip rule" shows, and lookUpRoute() says which table a rule leads to', () => {
    expect(listRules(lab.nl, { family: 4 }).map(({ priority, table }) => [priority, table])).toEqual([
      [0, 255],
      [32766, 254],
      [32767, 253],
    ]);
    lab.run('ip', 'address', 'add', '10.64.1.16/24', 'dev', 'br0');
    lab.run('ip', 'route', 'add', '10.5.52.0/24', 'via', '10.64.0.17', 'table', '1000');
    const select = ['from', '10.64.1.0/24', 'to', '10.5.52.0/24'];
    lab.run('ip', 'rule', 'add', ...select, 'lookup', '1000', 'priority', '7');
    lab.run('ip', 'rule', 'add', 'not', 'fwmark', '5', 'iif', 'br0', 'unreachable', 'priority', '8');
    lab.run('ip', '-6', 'rule', 'add', 'to', 'fd00:5::/64', 'lookup', '9', 'priority', '9');
    const usual = { from: undefined, to: undefined, input: undefined, mark: undefined, inverted: false };
    expect(listRules(lab.nl).filter(({ priority }) => priority > 0 && priority < 1000)).toEqual([
      { ...usual, family: 4, priority: 7, from: parsePrefix('10.64.1.0/24'), to: subnet, table: 1000 },
      { ...usual, family: 4, priority: 8, input: 'br0', mark: 5, inverted: true, table: undefined },
      { ...usual, family: 6, priority: 9, to: parsePrefix('fd00:5::/64'), table: 9 },
    ]);
    lab.run('ip', 'rule', 'delete', 'priority', '8');
    const to = parseIp('10.5.52.7');
    expect(lookUpRoute(lab.nl, to, { from: parseIp('10.64.1.16') })).toMatchObject({ table: 1000 });
    lab.run('ip', 'route', 'add', '10.5.52.0/24', 'via', '10.64.0.18');
    const gateway = parseIp('10.64.0.18');
    expect(lookUpRoute(lab.nl, to, { from: parseIp('10.64.0.16') })).toMatchObject({ table: 254, gateway });
    expect(lookUpRoute(lab.nl, to)).toMatchObject({ table: 254, gateway });
    lab.run('ip', '-6', 'route', 'add', 'fd00:5::/64', 'dev', 'br0', 'table', '9');
    expect(lookUpRoute(lab.nl, parseIp('fd00:5::7'))).toMatchObject({ table: 9 });
  });
});
