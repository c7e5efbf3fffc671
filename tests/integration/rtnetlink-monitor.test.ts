import { parseIp } from '@flannel-ts/inet/ip';
import { parseMac } from '@flannel-ts/inet/mac';
import { parseInterfaceAddress, parsePrefix } from '@flannel-ts/inet/prefix';
import { ensureAddressAbsent } from '@flannel-ts/rtnetlink/address';
import { deleteLink, getLink, setLink } from '@flannel-ts/rtnetlink/link';
import { addBridge, addVxlan } from '@flannel-ts/rtnetlink/link-add';
import { type Monitor, type MonitorEvent, openMonitor } from '@flannel-ts/rtnetlink/monitor';
import { replaceNeighbour } from '@flannel-ts/rtnetlink/neighbour';
import { addRoute, deleteRoute } from '@flannel-ts/rtnetlink/route';
import { errorOf, type Lab, openLab } from './rtnetlink-lab.ts';

type EventOf<T extends MonitorEvent['type']> = Extract<MonitorEvent, { type: T }>;

describe('openMonitor()', () => {
  let lab: Lab;
  let monitor: Monitor | undefined;

  beforeEach(() => {
    lab = openLab('monitor');
  });

  afterEach(() => {
    monitor?.close();
    lab.close();
  });

  const of = <T extends MonitorEvent['type']>(events: MonitorEvent[], type: T): EventOf<T>[] =>
    events.filter((event): event is EventOf<T> => event.type === type);

  test('reports links that come, change and go, whoever changes them', () => {
    monitor = openMonitor({ netns: lab.netns, groups: ['link'] });
    expect(monitor.drain()).toEqual([]);
    lab.run('ip', 'link', 'add', 'br0', 'type', 'bridge');
    lab.run('ip', 'link', 'set', 'br0', 'up');
    const { index } = getLink(lab.nl, 'br0')!;
    setLink(lab.nl, index, { mtu: 1400 });
    deleteLink(lab.nl, index);
    const events = of(monitor.drain(), 'link');
    expect(events[0]).toMatchObject({ action: 'set', link: { index, name: 'br0', kind: 'bridge', up: false } });
    expect(events.some((event) => event.link.up)).toBe(true);
    expect(events.some((event) => event.link.mtu === 1400)).toBe(true);
    expect(events.at(-1)).toMatchObject({ action: 'deleted', link: { index, name: 'br0' } });
    expect(monitor.drain()).toEqual([]);
  });

  test('leaves out routes and neighbours of the connection that it is given, and no others', () => {
    const { index } = addBridge(lab.nl, { name: 'br0', up: true });
    lab.run('ip', 'address', 'add', '10.5.72.1/24', 'dev', 'br0');
    monitor = openMonitor({ netns: lab.netns, groups: ['route', 'neighbour'], exceptOf: lab.nl.portId });
    const mac = parseMac('0a:58:0a:05:34:00');
    addRoute(lab.nl, { dst: parsePrefix('10.9.0.0/16'), gateway: parseIp('10.5.72.9'), protocol: 241 });
    replaceNeighbour(lab.nl, { index, address: parseIp('10.5.72.9'), mac });
    lab.run('ip', 'route', 'add', '10.10.0.0/16', 'via', '10.5.72.9');
    lab.run('ip', 'neighbour', 'add', '10.5.72.8', 'lladdr', mac, 'dev', 'br0');
    const events = monitor.drain();
    expect(of(events, 'route').map(({ route }) => route.dst)).toEqual([parsePrefix('10.10.0.0/16')]);
    const neighbours = of(events, 'neighbour').map(({ neighbour }) => neighbour.address);
    expect(neighbours).toContain(parseIp('10.5.72.8'));
    expect(neighbours).not.toContain(parseIp('10.5.72.9'));
    lab.run('ip', 'route', 'delete', '10.9.0.0/16');
    expect(of(monitor.drain(), 'route')).toMatchObject([{ action: 'deleted' }]);
  });

  test('reports addresses and routes of both families', async () => {
    const { index } = addBridge(lab.nl, { name: 'br0', up: true });
    monitor = openMonitor({ netns: lab.netns, groups: ['address', 'route'] });
    const address = parseInterfaceAddress('10.5.72.1/24');
    lab.run('ip', 'address', 'add', '10.5.72.1/24', 'dev', 'br0');
    lab.run('ip', 'address', 'add', 'fd00::1/64', 'dev', 'br0', 'nodad');
    const dst = parsePrefix('10.9.0.0/16');
    addRoute(lab.nl, { dst, gateway: parseIp('10.5.72.9'), protocol: 241 });
    deleteRoute(lab.nl, { dst });
    ensureAddressAbsent(lab.nl, { index, address });
    const events = [...monitor.drain()];
    // The kernel announces an IPv6 address from a work queue, when it is done with it.
    const end = Date.now() + 10_000;
    while (!of(events, 'address').some((event) => event.address.family === 6) && Date.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      events.push(...monitor.drain());
    }
    expect(of(events, 'address')).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ action: 'set', address: expect.objectContaining({ index, address }) }),
        expect.objectContaining({ action: 'set', address: expect.objectContaining({ family: 6, index }) }),
        expect.objectContaining({ action: 'deleted', address: expect.objectContaining({ index, address }) }),
      ]),
    );
    const ours = of(events, 'route').filter((event) => event.route.protocol === 241);
    expect(ours.map((event) => [event.action, event.route.dst])).toEqual([
      ['set', dst],
      ['deleted', dst],
    ]);
    expect(of(events, 'link')).toEqual([]);
  });

  test('reports neighbours and FDB entries', () => {
    const { index } = addVxlan(lab.nl, { name: 'flannel.1', vni: 1, port: 8472, up: true });
    monitor = openMonitor({ netns: lab.netns, groups: ['neighbour'] });
    const mac = parseMac('0a:58:0a:05:34:00');
    lab.run('ip', 'neighbour', 'replace', '10.5.52.0', 'lladdr', mac, 'dev', 'flannel.1');
    lab.run('bridge', 'fdb', 'replace', mac, 'dev', 'flannel.1', 'dst', '10.64.0.17', 'self', 'permanent');
    lab.run('bridge', 'fdb', 'del', mac, 'dev', 'flannel.1');
    const events = monitor.drain();
    expect(of(events, 'neighbour')).toMatchObject([
      { action: 'set', neighbour: { index, address: parseIp('10.5.52.0'), mac } },
    ]);
    expect(of(events, 'fdb')).toMatchObject([
      { action: 'set', entry: { index, mac, dst: parseIp('10.64.0.17') } },
      { action: 'deleted', entry: { index, mac } },
    ]);
  });

  test('reports lost when more happens than the socket holds, and goes on afterwards', () => {
    monitor = openMonitor({ netns: lab.netns, groups: ['link'], receiveBufferBytes: 4096 });
    const { index } = addBridge(lab.nl, { name: 'br0' });
    for (let i = 0; i < 200; i++) setLink(lab.nl, index, { mtu: 1300 + i });
    const events = monitor.drain();
    expect(of(events, 'lost').length).toBeGreaterThan(0);
    expect(monitor.drain()).toEqual([]);
    setLink(lab.nl, index, { mtu: 1280 });
    expect(of(monitor.drain(), 'link').at(-1)).toMatchObject({ link: { index, mtu: 1280 } });
  });

  test('drain() stops at its limit and keeps the rest', () => {
    monitor = openMonitor({ netns: lab.netns, groups: ['link'] });
    for (let i = 0; i < 10; i++) addBridge(lab.nl, { name: `br${i}` });
    const first = monitor.drain(4);
    expect(first).toHaveLength(4);
    const names = [...first, ...monitor.drain()].map((event) => (event.type === 'link' ? event.link.name : event.type));
    expect(new Set(names).size).toBe(10);
  });

  test('reports nothing of other namespaces, and nothing once closed', () => {
    const other = openLab('elsewhere');
    try {
      monitor = openMonitor({ netns: lab.netns, groups: ['link'] });
      addBridge(other.nl, { name: 'br0' });
      expect(monitor.drain()).toEqual([]);
      monitor.close();
      monitor.close();
      expect(errorOf(() => monitor!.drain()).message).toBe('Cannot read network events: the monitor is closed (EBADF)');
    } finally {
      other.close();
    }
  });
});
