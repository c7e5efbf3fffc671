import { getSocketOption, SO_RCVBUF, SO_RCVBUFFORCE, SOL_SOCKET, setSocketOption } from '@flannel-ts/linux/socket';
import type { Engine, StartEngine } from '../../../src/datapath/tun/engine/engine.ts';
import { type LabOptions, MTU, type Node, PORT, underlayAddress, until } from '../lab.ts';
import { ipv4Packet } from '../packets.ts';
import { aged, applyRoutes, Bench, configOf, newLab, route } from './bench.ts';
import { endChildren, script, transfer } from './processes.ts';

/** Two nodes with an engine each and the kernel's own traffic between them, and floods. */
export function describeTraffic(start: StartEngine, options?: LabOptions): void {
  describe('between two nodes', () => describeKernel(start, options));
  describe('under a flood', () => describeFlood(start, options));
}

function describeKernel(start: StartEngine, options?: LabOptions): void {
  const lab = newLab(options);
  let nodes: readonly [Node, Node];
  let engines: readonly Engine[];

  beforeAll(async () => {
    nodes = lab.setUp();
    engines = await Promise.all(nodes.map((node) => start(configOf(node))));
    const subnets = ['10.1.0.0/24', '10.2.0.0/24'] as const;
    await applyRoutes(engines[0]!, lab.device(nodes[0]), [route(subnets[1], nodes[1].address)]);
    await applyRoutes(engines[1]!, lab.device(nodes[1]), [route(subnets[0], nodes[0].address)]);
  });

  afterEach(endChildren);
  afterAll(async () => {
    await Promise.all((engines ?? []).map((engine) => engine.stop()));
    lab.tearDown();
  });

  const ping = (...args: string[]): string =>
    nodes[0].run('ping', '-n', '-i', '0.1', '-W', '5', '-I', '10.1.0.2', ...args);

  test('ping passes, two hops older each way', () => {
    const output = ping('-c', '3', '10.2.0.2');
    expect(output).toContain('3 received');
    expect(output).toContain('ttl=62');
  });

  test('ping learns that there is no route', () => {
    expect(ping('-c', '1', '10.9.0.1')).toMatch(/From 10\.1\.0\.0 .*Destination Net Unreachable/);
  });

  test('ping learns which node its TTL expired on', () => {
    expect(ping('-c', '1', '-t', '1', '10.2.0.2')).toMatch(/From 10\.1\.0\.0 .*Time to live exceeded/);
    expect(ping('-c', '1', '-t', '2', '10.2.0.2')).toMatch(/From 10\.2\.0\.0 .*Time to live exceeded/);
  });

  test('ping learns the MTU', () => {
    const output = ping('-c', '1', '-M', 'do', '-s', '3000', '10.2.0.2');
    expect(output).toMatch(new RegExp(`From 10\\.1\\.0\\.0 .*Frag needed.*mtu = ${MTU}`));
  });

  test.each([
    ['there', 0, 1],
    ['back', 1, 0],
  ])('TCP carries megabytes %s unchanged, over a device whose MTU is larger', async (_, from, to) => {
    const { sent, received } = await transfer(nodes[from]!, nodes[to]!, 3_000_000);
    expect(received).toBe(sent);
    expect(engines.map((engine) => engine.counters().offloadFallbacks)).toEqual([0, 0]);
  });
}

/** Sends without end, from a process of its own. */
const FLOOD = `
  const [address, to, port, payload] = process.argv.slice(1);
  const socket = require('dgram').createSocket(to.includes(':') ? 'udp6' : 'udp4');
  const bytes = Buffer.from(payload, 'hex');
  const burst = () => { let left = 64; for (let i = 0; i < 64; i++) socket.send(bytes, +port, to, () => { if (--left === 0) setImmediate(burst); }); };
  socket.bind({ address, port: 0, exclusive: true }, burst);
`;

function describeFlood(start: StartEngine, options?: LabOptions): void {
  const bench = new Bench(start, options);
  beforeAll(() => bench.setUp());
  afterAll(() => bench.tearDown());
  beforeEach(async () => void (await bench.run()));
  afterEach(async () => {
    await endChildren();
    await bench.stop();
  });

  const floodFromPeer = async (): Promise<void> => {
    const packet = ipv4Packet({ from: '10.2.0.2', to: '10.1.0.77', payload: new Uint8Array(1000) });
    const { addressText } = bench.node;
    script(
      bench.other,
      FLOOD,
      underlayAddress(options, 2),
      addressText,
      String(PORT),
      Buffer.from(packet).toString('hex'),
    );
    await until(() => bench.engine!.counters().socketPackets > 5000, 'the flood');
  };

  const floodFromPods = async (): Promise<void> => {
    script(bench.node, FLOOD, bench.node.podText, '10.3.0.2', '9', '00'.repeat(1000));
    await until(() => bench.engine!.counters().tunPackets > 5000, 'the flood');
  };

  test('of incoming packets, outgoing ones still pass', async () => {
    await floodFromPeer();
    for (let i = 0; i < 20; i++) {
      const packet = bench.emit({ identification: i });
      expect((await bench.peer.receive()).bytes).toEqual(aged(packet));
    }
  });

  test('of outgoing packets, incoming ones still pass', async () => {
    await floodFromPods();
    for (let i = 0; i < 20; i++) {
      const packet = bench.inject({ identification: i, payload: new Uint8Array(44) });
      expect(await bench.device.receive()).toEqual(aged(packet));
    }
  });

  test('what its socket has no room for is counted', async () => {
    // Where programs take them, they do not come to the socket.
    if (options?.twoWays) return;
    const buffer = getSocketOption(bench.node.socketFd, SOL_SOCKET, SO_RCVBUF);
    try {
      setSocketOption(bench.node.socketFd, SOL_SOCKET, SO_RCVBUFFORCE, 0); // the least there is: for two datagrams or three
      await floodFromPeer();
      await until(() => bench.engine!.counters().socketDrops > 0, 'a dropped datagram');
    } finally {
      setSocketOption(bench.node.socketFd, SOL_SOCKET, SO_RCVBUFFORCE, buffer / 2); // socket(7): it is doubled
    }
  });

  test.each([
    ['incoming', floodFromPeer],
    ['outgoing', floodFromPods],
  ])('of %s packets, routes change and the engine stops', async (_, start) => {
    await start();
    const engine = bench.engine!;
    engine.setRoutes([route('10.2.0.0/24', bench.otherPeerAddress), route('10.3.0.0/24', bench.peerAddress)]);
    const changed = (): boolean => {
      const { dropped, peers } = engine.counters();
      return dropped.unknown_peer + dropped.spoofed_source > 0 || peers.get(bench.peerAddress)!.sentPackets > 0;
    };
    await until(changed, 'the new routes');
    await engine.stop();
    const after = engine.counters();
    await new Promise((resolve) => setImmediate(resolve));
    expect(engine.counters()).toEqual(after);
  });
}
