import { type Ip, parseIp } from '@flannel-ts/inet/ip';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import type { Engine, EngineConfig, EngineRoute, StartEngine } from '../../../src/datapath/tun/engine/engine.ts';
import { source, word } from '../../../src/datapath/tun/engine/ipv4-header.ts';
import {
  type DeviceTap,
  drainFd,
  Lab,
  type LabOptions,
  MTU,
  type Node,
  OTHER_PEER_NUMBER,
  PORT,
  STRANGER_NUMBER,
  type UdpSocket,
  underlayAddress,
  until,
} from '../lab.ts';
import { ipv4Packet, type PacketFields } from '../packets.ts';

let labs = 0;

export function newLab(options?: LabOptions): Lab {
  return new Lab(`fltest-${process.pid}-engine${++labs}`, options);
}

export function route(subnet: string, peer: Ip): EngineRoute {
  return { subnet: parsePrefix(subnet), peer };
}

export function configOf(node: Node, more: Partial<EngineConfig> = {}): EngineConfig {
  const { tunFd, socketFd, tunAddress } = node;
  return { tunFd, socketFd, tunAddress, mtu: MTU, port: PORT, ...more };
}

/**
 * Sets routes and waits until a packet given to the engine now is sure to meet them: it may have looked for new routes before
 * these were set, and read its next packet after. That is the first of two; before the second one it looks again.
 */
export async function applyRoutes(engine: Engine, device: DeviceTap, routes: readonly EngineRoute[]): Promise<void> {
  engine.setRoutes(routes);
  for (let turn = 0; turn < 2; turn++) {
    const before = engine.counters().tunPackets;
    device.send(Uint8Array.of(0x60));
    await until(() => engine.counters().tunPackets > before, 'the engine to read a packet');
  }
}

/** A packet as it looks `hops` routers later. */
export function aged(packet: Uint8Array, hops = 1): Uint8Array {
  const older = packet.slice();
  older[8]! -= hops;
  // RFC 1624 is what is tested: sum anew here.
  older.fill(0, 10, 12);
  let sum = 0;
  for (let at = 0; at < (older[0]! & 15) * 4; at += 2) sum += word(older, at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  older[10] = (~sum >>> 8) & 255;
  older[11] = ~sum & 255;
  return older;
}

/**
 * One node with the engine under test; the other node's socket and the first one's device are in the test's hands.
 * 10.1.0.77 is an address that the first node's kernel takes no notice of, so that nothing answers on its own.
 */
export class Bench {
  readonly lab: Lab;
  node!: Node;
  other!: Node;
  device!: DeviceTap;
  peer!: UdpSocket;
  otherPeer!: UdpSocket;
  stranger!: UdpSocket;
  engine: Engine | undefined;
  #marks = 0;

  constructor(
    readonly start: StartEngine,
    readonly options?: LabOptions,
  ) {
    this.lab = newLab(options);
  }

  /** The address that `peer` sends from. */
  get peerAddress(): Ip {
    return this.addressOf(2);
  }

  get otherPeerAddress(): Ip {
    return this.addressOf(OTHER_PEER_NUMBER);
  }

  addressOf(n: number): Ip {
    return parseIp(underlayAddress(this.options, n));
  }

  setUp(): void {
    const [node, other] = this.lab.setUp();
    this.node = node;
    this.other = other;
    this.device = this.lab.device(node);
    this.peer = this.lab.udpOn(other.socketFd);
    this.otherPeer = this.lab.udp(other, underlayAddress(this.options, OTHER_PEER_NUMBER), PORT);
    this.stranger = this.lab.udp(other, underlayAddress(this.options, STRANGER_NUMBER), PORT);
  }

  tearDown(): void {
    this.lab.tearDown();
  }

  /** Starts the engine with routes to 10.2.0.0/24 and 10.3.0.0/24. */
  async run(more: Partial<EngineConfig> = {}): Promise<Engine> {
    for (const { fd } of [this.peer, this.otherPeer, this.stranger, this.device]) drainFd(fd);
    drainFd(this.node.tunFd);
    drainFd(this.node.socketFd);
    this.engine = await this.start(configOf(this.node, more));
    await this.setRoutes(route('10.2.0.0/24', this.peerAddress), route('10.3.0.0/24', this.otherPeerAddress));
    return this.engine;
  }

  async stop(): Promise<void> {
    await this.engine?.stop();
    this.engine = undefined;
  }

  async setRoutes(...routes: EngineRoute[]): Promise<void> {
    await applyRoutes(this.engine!, this.device, routes);
  }

  /** From the device: a packet of a pod here to a pod there. */
  emit(fields: PacketFields = {}): Uint8Array {
    return this.emitBytes(ipv4Packet({ from: '10.1.0.77', to: '10.2.0.2', ...fields }));
  }

  emitBytes(packet: Uint8Array): Uint8Array {
    this.device.send(packet);
    return packet;
  }

  /** From the peer: a packet of a pod there to a pod here. */
  inject(fields: PacketFields = {}, sender = this.peer): Uint8Array {
    const packet = ipv4Packet({ from: '10.2.0.2', to: '10.1.0.77', ...fields });
    sender.send(packet, this.node.address);
    return packet;
  }

  /** Waits until the engine has counted what was sent and delivered: a packet may be received before that. */
  async counted(sent: number, delivered: number): Promise<void> {
    await until(() => {
      const { sentPackets, deliveredPackets } = this.engine!.counters();
      return sentPackets >= sent && deliveredPackets >= delivered;
    }, 'the engine to count');
  }

  /** Sends until the peer gets something, as after the loss of a link, and leaves nothing of it unread. */
  async catchUp(): Promise<void> {
    let last = aged(this.emit({ identification: ++this.#marks }));
    await until(() => {
      const got = this.peer.tryReceive();
      if (got !== undefined) return Buffer.compare(got.bytes, last) === 0;
      last = aged(this.emit({ identification: ++this.#marks }));
      return false;
    }, 'the peer to be reached');
  }

  /** What makes a packet one that always goes through the engine: no program takes packets with options. */
  get slow(): PacketFields {
    return this.options?.twoWays ? { options: Uint8Array.of(1, 1, 1, 1) } : {};
  }

  /** Everything given to the engine so far has been dealt with, and nothing waits unread at either end. */
  async nothingElse(): Promise<void> {
    if (this.options?.twoWays) {
      const out = this.emit({ ...this.slow, identification: ++this.#marks });
      expect((await this.peer.receive()).bytes).toEqual(aged(out));
      const back = this.inject({ ...this.slow, identification: ++this.#marks });
      expect(await this.device.receive()).toEqual(aged(back));
    }
    const out = this.emit({ identification: ++this.#marks, payload: new Uint8Array(32) });
    expect((await this.peer.receive()).bytes).toEqual(aged(out));
    const back = this.inject({ identification: ++this.#marks, payload: new Uint8Array(32) });
    expect(await this.device.receive()).toEqual(aged(back));
    // A datagram above would also have been overtaken by something the engine sent back: look again.
    const again = this.emit({ identification: ++this.#marks, payload: new Uint8Array(32) });
    expect((await this.peer.receive()).bytes).toEqual(aged(again));
    expect(this.otherPeer.tryReceive()).toBeUndefined();
    expect(this.stranger.tryReceive()).toBeUndefined();
  }
}

/** What an ICMP error says. */
export function icmpError(packet: Uint8Array) {
  return {
    type: packet[20],
    code: packet[21],
    mtu: word(packet, 26),
    from: source(packet),
    quote: packet.subarray(28),
  };
}
