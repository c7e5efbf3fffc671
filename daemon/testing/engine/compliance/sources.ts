import { parseIp } from '@flannel-ts/inet/ip';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import type { StartEngine } from '../../../src/datapath/tun/engine/engine.ts';
import { type DeviceTap, ETH_P_IPV6, type LabOptions, PORT, portOf, until } from '../lab.ts';
import { ipv4Packet } from '../packets.ts';
import { aged6, ipv6Packet } from '../packets6.ts';
import { aged, Bench, route } from './bench.ts';

const SOURCES = 4;
/** With fixed addresses and ports, so that what the hash makes of them is the same every time. */
const FLOWS = 40;

/** The ports that datagrams come from, where the engine has several to send from. */
export function describeSources(start: StartEngine, options?: LabOptions): void {
  describe('from several source ports', () => {
    const bench = new Bench(start, options);
    let sourceFds: readonly number[];
    let sourcePorts: ReadonlySet<number>;
    let device6: DeviceTap;

    beforeAll(() => {
      bench.setUp();
      sourceFds = bench.lab.sources(bench.node, SOURCES - 1);
      sourcePorts = new Set([PORT, ...sourceFds.map((fd) => portOf(fd))]);
      device6 = bench.lab.device(bench.node, ETH_P_IPV6);
    });
    afterAll(() => bench.tearDown());
    beforeEach(async () => void (await bench.run({ sourceFds })));
    afterEach(() => bench.stop());

    /** A packet of a flow, as a pod sends it. */
    const packetOf = (flow: number, number = 0): Uint8Array =>
      ipv4Packet({ from: '10.1.0.77', to: '10.2.0.2', payload: udp(40_000 + flow, number), identification: number });

    /** The port that a packet leaves by. */
    const sourceOf = async (packet: Uint8Array): Promise<number> => {
      bench.emitBytes(packet);
      const { bytes, port } = await bench.peer.receive();
      expect(bytes).toEqual(aged(packet));
      return port;
    };

    test('each flow leaves by one port, and many flows by all', async () => {
      const used = new Set<number>();
      for (let flow = 0; flow < FLOWS; flow++) {
        const ports = [await sourceOf(packetOf(flow, 0)), await sourceOf(packetOf(flow, 1))];
        expect(ports[1]).toBe(ports[0]);
        used.add(ports[0]!);
      }
      expect(used).toEqual(sourcePorts);
      await bench.nothingElse();
    });

    test('packets of many flows at once keep the order of each flow', async () => {
      const numbers = [0, 1, 2, 3];
      for (const number of numbers) for (let flow = 0; flow < FLOWS; flow++) bench.emitBytes(packetOf(flow, number));
      const arrived = new Map<number, { ports: Set<number>; numbers: number[] }>();
      for (let i = 0; i < FLOWS * numbers.length; i++) {
        const { bytes, port } = await bench.peer.receive();
        const flow = (bytes[20]! << 8) | bytes[21]!;
        const seen = arrived.get(flow) ?? { ports: new Set(), numbers: [] };
        arrived.set(flow, seen);
        seen.ports.add(port);
        seen.numbers.push(bytes[28]!);
      }
      expect(arrived.size).toBe(FLOWS);
      for (const seen of arrived.values()) expect([seen.ports.size, seen.numbers]).toEqual([1, numbers]);
      await bench.nothingElse();
    });

    test('all fragments of a datagram leave by one port', async () => {
      for (let host = 0; host < FLOWS; host++) {
        const fields = { from: '10.1.0.77', to: `10.2.0.${host + 2}`, identification: host };
        const first = await sourceOf(ipv4Packet({ ...fields, moreFragments: true, payload: udp(40_000, 0) }));
        expect(await sourceOf(ipv4Packet({ ...fields, moreFragments: true, fragmentOffset: 2 }))).toBe(first);
        expect(await sourceOf(ipv4Packet({ ...fields, fragmentOffset: 3 }))).toBe(first);
      }
    });

    test('what is sent to a port that only sends is dropped and counted', async () => {
      for (const fd of sourceFds) {
        bench.peer.send(ipv4Packet({ from: '10.2.0.2', to: '10.1.0.77' }), bench.node.address, portOf(fd));
      }
      await until(() => bench.engine!.counters().strayDatagrams === SOURCES - 1, 'the count of stray datagrams');
      await bench.nothingElse();
      expect(bench.engine!.counters()).toMatchObject({ socketPackets: 1, deliveredPackets: 1, socketDrops: 0 });
    });

    test('without further sockets everything leaves by the port of the backend', async () => {
      await bench.stop();
      await bench.run();
      for (let flow = 0; flow < FLOWS; flow++) expect(await sourceOf(packetOf(flow))).toBe(PORT);
    });

    if (!options?.ipv6) return;

    test('flows of IPv6 are spread, too', async () => {
      await bench.stop();
      await bench.run({ sourceFds, tunAddress6: parseIp('fd00:0:0:1::', 6) });
      const { peerAddress } = bench;
      await bench.setRoutes(route('10.2.0.0/24', peerAddress), {
        subnet: parsePrefix('fd00:0:0:2::/64'),
        peer: peerAddress,
      });
      const used = new Set<number>();
      for (let flow = 0; flow < FLOWS; flow++) {
        const ports = new Set<number>();
        for (const number of [0, 1]) {
          const packet = ipv6Packet({ payload: udp(40_000 + flow, number) });
          device6.send(packet);
          const { bytes, port } = await bench.peer.receive();
          expect(bytes).toEqual(aged6(packet));
          ports.add(port);
          used.add(port);
        }
        expect(ports.size).toBe(1);
      }
      expect(used).toEqual(sourcePorts);
    });
  });
}

/** A datagram with a number in its first byte, from a port to another one. */
function udp(from: number, number: number): Uint8Array {
  return Uint8Array.of(from >>> 8, from & 255, 0, 53, 0, 16, 0, 0, number, 0, 0, 0, 0, 0, 0, 0);
}
