import { parseIp } from '@flannel-ts/inet/ip';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import type { Engine, StartEngine } from '../../../src/datapath/tun/engine/engine.ts';
import type { LabOptions, Node } from '../lab.ts';
import { Bench, configOf, newLab, route } from './bench.ts';
import { endChildren, transfer } from './processes.ts';

/** Of the narrow link, and of the packets that a datagram on it has room for. */
const NARROW_MTU = 1300;
const BYTES = 3_000_000;

/** Peers that are reached by unlike paths. */
export function describePaths(start: StartEngine, options?: LabOptions): void {
  describe('on a narrow path to one of two peers', () => describeNarrow(start, options));
  describe('to a peer whose address is in the overlay', () => describeLoop(start, options));
}

function describeNarrow(start: StartEngine, options?: LabOptions): void {
  const lab = newLab(options);
  const overhead = options?.underlay === 6 ? 48 : 28;
  let node: Node;
  let wide: Node;
  let narrow: Node;
  let engine: Engine;
  let engines: readonly Engine[];

  beforeAll(() => {
    [node, wide] = lab.setUp();
    narrow = lab.addNode(node, NARROW_MTU);
  });
  afterAll(() => lab.tearDown());
  beforeEach(async () => {
    engines = await Promise.all([node, wide, narrow].map((each) => start(configOf(each))));
    engine = engines[0]!;
    engine.setRoutes([route('10.2.0.0/24', wide.address), route('10.3.0.0/24', narrow.address)]);
    for (const other of engines.slice(1)) other.setRoutes([route('10.1.0.0/24', node.address)]);
  });
  afterEach(async () => {
    await endChildren();
    await Promise.all((engines ?? []).map((each) => each.stop()));
  });

  const paths = () => {
    const { peers } = engine.counters();
    return { wide: peers.get(wide.address)!.path, narrow: peers.get(narrow.address)!.path };
  };
  const carry = async (to: Node): Promise<void> => {
    const { sent, received } = await transfer(node, to, BYTES);
    expect(received).toBe(sent);
  };

  test('TCP is carried to both, and only the narrow one pays', async () => {
    await carry(narrow);
    const segments = engine.counters().abilities.udpSegment === 1;
    expect(paths().narrow.fallbacks > 0).toBe(segments);
    expect(paths().narrow.unsegmentedFrom > 0).toBe(segments);
    const between = engine.counters().segmentedSends;
    await carry(wide);
    expect(engine.counters().segmentedSends > between).toBe(segments);
    expect(paths().wide).toEqual({ limit: 0, unsegmentedFrom: 0, fallbacks: 0, lastErrno: 0 });
    expect(engine.counters()).toMatchObject({ offloadFallbacks: 0, dropped: { send_failed: 0 } });
  });

  test('with its limit known, pods learn it and no datagram is fragmented', async () => {
    const limit = NARROW_MTU - overhead;
    engine.setPathLimit(narrow.address, limit);
    // The way back is as narrow.
    engines[2]!.setPathLimit(node.address, limit);
    const ping = (to: string): string =>
      node.run('ping', '-n', '-c', '1', '-W', '5', '-M', 'do', '-s', '1400', '-I', '10.1.0.2', to);
    expect(ping('10.3.0.2')).toMatch(new RegExp(`From 10\\.1\\.0\\.0 .*Frag needed.*mtu = ${limit}`));
    expect(ping('10.2.0.2')).toContain('1 received');
    const before = fragmentsOf(node);
    await carry(narrow);
    expect(fragmentsOf(node)).toBe(before);
    expect(paths().narrow).toMatchObject({ limit, fallbacks: 0 });
    expect(engine.counters().dropped.too_big).toBeGreaterThan(0);
  });

  /** Datagrams that the kernel of a node fragmented. */
  function fragmentsOf(of: Node): number {
    if (options?.underlay === 6) return Number(/Ip6FragOKs\s+(\d+)/.exec(of.run('cat', '/proc/net/snmp6'))![1]);
    const [names, values] = of
      .run('cat', '/proc/net/snmp')
      .split('\n')
      .filter((line) => line.startsWith('Ip: '))
      .map((line) => line.split(' '));
    return Number(values![names!.indexOf('FragOKs')]);
  }
}

function describeLoop(start: StartEngine, options?: LabOptions): void {
  const bench = new Bench(start, options);
  const peer = parseIp(options?.underlay === 6 ? 'fd00:5::1' : '10.5.0.1');
  beforeAll(() => {
    bench.setUp();
    if (options?.underlay !== 6) return;
    const { node } = bench;
    node.run('sysctl', '-w', 'net.ipv6.conf.flannel0.disable_ipv6=0');
    node.run('ip', 'route', 'add', 'fd00:5::/64', 'dev', 'flannel0');
  });
  afterAll(() => bench.tearDown());
  beforeEach(async () => void (await bench.run({ tunAddress6: parseIp('fd00:0:0:1::', 6) })));
  afterEach(() => bench.stop());

  test('a packet is sent once, and what comes back of it is dropped, whole or in fragments', async () => {
    const subnets = ['10.5.0.0/24', 'fd00:5::/64'].map((text) => ({ subnet: parsePrefix(text), peer }));
    const others = [route('10.2.0.0/24', bench.peerAddress), route('10.3.0.0/24', bench.otherPeerAddress)];
    await bench.setRoutes(...others, ...subnets);
    bench.emit({ to: '10.5.0.5' });
    await bench.nothingElse();
    expect(bench.engine!.counters().dropped.encapsulation_loop).toBe(1);
    // The largest packet of the device: the datagram around it is larger.
    bench.emit({ to: '10.5.0.5', payload: new Uint8Array(8980) });
    await bench.nothingElse();
    expect(bench.engine!.counters().dropped.encapsulation_loop).toBe(3);
    expect(bench.engine!.counters().peers.get(peer)!.sentPackets).toBe(2);
    // Whatever else pods send to that subnet.
    bench.emit({ to: '10.5.0.1', protocol: 6 });
    await bench.nothingElse();
    expect(bench.engine!.counters().peers.get(peer)!.sentPackets).toBe(3);
  });
}
