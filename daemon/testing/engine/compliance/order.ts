import { formatIp, type Ip, parseIp } from '@flannel-ts/inet/ip';
import { SO_RCVBUFFORCE, SOL_SOCKET, SOL_UDP, setSocketOption, UDP_SEGMENT } from '@flannel-ts/linux/socket';
import type { Engine, StartEngine } from '../../../src/datapath/tun/engine/engine.ts';
import { type Lab, type LabOptions, type Node, type UdpSocket, until } from '../lab.ts';
import { applyRoutes, configOf, newLab, route } from './bench.ts';

const ROUNDS = 40;
const FLOWS = 3;
/**
 * Datagrams that a flow sends by one call, which the kernel keeps together as far as the device's offloads allow. What all
 * flows send at once fits the buffer of the engine's socket (212,992 bytes by default, of which a datagram takes up to 2,304).
 */
const TOGETHER = 10;
const SIZES = [60, 700, 1200];
const FIRST_PORT = 5000;
const RECEIVER_PORT = 4999;
const RECEIVE_BUFFER = 8 * 1024 * 1024;

/** Numbered datagrams of several flows, alone and many at once, both ways at the same time. */
export function describeOrder(start: StartEngine, options?: LabOptions, sources = 1): void {
  describe('order', () => {
    const lab = newLab(options);
    let nodes: readonly [Node, Node];
    let engines: readonly Engine[];

    beforeAll(async () => {
      nodes = lab.setUp();
      // What waits for the kernel to find the other node may be passed by what is sent right after that.
      for (const [from, to] of [nodes, [...nodes].reverse()] as [Node, Node][]) {
        from.run('ping', '-c', '1', '-W', '5', formatIp(to.address));
      }
      engines = await Promise.all(
        nodes.map((node) => start(configOf(node, { sourceFds: lab.sources(node, sources - 1) }))),
      );
      await applyRoutes(engines[0]!, lab.device(nodes[0]), [route('10.2.0.0/24', nodes[1].address)]);
      await applyRoutes(engines[1]!, lab.device(nodes[1]), [route('10.1.0.0/24', nodes[0].address)]);
    });
    afterAll(async () => {
      await Promise.all((engines ?? []).map((engine) => engine.stop()));
      lab.tearDown();
    });

    test('within a flow is kept, and every datagram comes once', async () => {
      const directions = [new Direction(lab, nodes[0], nodes[1]), new Direction(lab, nodes[1], nodes[0])];
      for (let round = 0; round < ROUNDS; round++) {
        for (const direction of directions) direction.send(SIZES[round % SIZES.length]!);
        await until(() => directions.map((direction) => direction.receivedAll()).every(Boolean), 'all datagrams');
      }
      const inOrder = Array.from({ length: ROUNDS * (TOGETHER + 2) }, (_, i) => i);
      for (const { received } of directions) {
        expect(received).toEqual(new Map(Array.from({ length: FLOWS }, (_, i) => [FIRST_PORT + i, inOrder])));
      }
    });
  });
}

/** From pods of one node to a pod of the other. */
class Direction {
  /** The numbers that came, by the port of their sender. */
  readonly received = new Map<number, number[]>();
  readonly #to: Ip;
  readonly #receiver: UdpSocket;
  readonly #senders: readonly UdpSocket[];
  /** By each sender. */
  #sent = 0;
  #count = 0;

  constructor(lab: Lab, from: Node, to: Node) {
    this.#to = parseIp(to.podText);
    this.#receiver = lab.udp(to, to.podText, RECEIVER_PORT);
    setSocketOption(this.#receiver.fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER);
    this.#senders = Array.from({ length: FLOWS }, (_, i) => lab.udp(from, from.podText, FIRST_PORT + i));
    for (let i = 0; i < FLOWS; i++) this.received.set(FIRST_PORT + i, []);
  }

  send(size: number): void {
    for (const sender of this.#senders) this.#sendTo(sender, size);
    this.#sent += TOGETHER + 2;
  }

  #sendTo(sender: UdpSocket, size: number): void {
    let next = this.#sent;
    for (const count of [1, TOGETHER, 1]) {
      setSocketOption(sender.fd, SOL_UDP, UDP_SEGMENT, count === 1 ? 0 : size);
      sender.send(numbered(next, count, size), this.#to, RECEIVER_PORT);
      next += count;
    }
  }

  receivedAll(): boolean {
    for (;;) {
      const datagram = this.#receiver.tryReceive();
      if (datagram === undefined) return this.#count >= FLOWS * this.#sent;
      this.#count++;
      this.received.get(datagram.port)!.push(new DataView(datagram.bytes.buffer).getUint32(0));
    }
  }
}

/** `count` datagrams of `size` bytes; each begins with its number. */
function numbered(first: number, count: number, size: number): Uint8Array {
  const bytes = new Uint8Array(count * size);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < count; i++) view.setUint32(i * size, first + i);
  return bytes;
}
