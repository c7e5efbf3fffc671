import { parseIp } from '@flannel-ts/inet/ip';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import { FakePorts } from '../../../../../testing/engine/fake-ports.ts';
import { icmpMessage, ipv4Packet, type PacketFields } from '../../../../../testing/engine/packets.ts';
import { Control } from '../control.ts';
import { address, timeToLive, word } from '../ipv4-header.ts';
import { Underlay } from '../underlay.ts';
import { Forwarder, type ForwarderConfig } from './forwarder.ts';

const PEER = parseIp('192.0.2.2');
const OTHER = parseIp('192.0.2.3');
const ME = parseIp('10.1.0.0');

function setUp(config: Partial<ForwarderConfig> = {}) {
  const control = new Control();
  const ports = new FakePorts();
  const clock = { now: 0 };
  const underlay = new Underlay(4, 8285);
  const settings = { tunAddress: ME, mtu: 1472, ...config };
  const forwarder = new Forwarder(ports, settings, control.shared, underlay, () => clock.now);
  const route = (subnet: string, peer = PEER) => ({ subnet: parsePrefix(subnet), peer });
  const setRoutes = (...routes: ReturnType<typeof route>[]): void => {
    control.setRoutes(routes);
    forwarder.refreshRoutes();
  };
  setRoutes(route('10.2.0.0/24'), route('10.3.0.0/24', OTHER));
  const receive = (fields: PacketFields, sender = PEER): boolean => {
    ports.socket.push([sender, ipv4Packet({ from: '10.2.0.2', to: '10.1.0.2', ...fields })]);
    return forwarder.forwardIncoming();
  };
  const emit = (fields: PacketFields): boolean => {
    ports.tun.push(ipv4Packet(fields));
    return forwarder.forwardOutgoing();
  };
  return { control, ports, clock, forwarder, route, setRoutes, receive, emit };
}

/** Type and code of an ICMP error, and the source address it quotes. */
function icmpOf(packet: Uint8Array) {
  return { type: packet[20], code: packet[21], from: address(packet, 12), to: address(packet, 16) };
}

describe('turn()', () => {
  test('moves one packet each way, however many wait in one direction', () => {
    const { forwarder, ports } = setUp();
    for (let i = 0; i < 100; i++) {
      ports.tun.push(ipv4Packet({}));
      ports.socket.push([PEER, ipv4Packet({ from: '10.2.0.2', to: '10.1.0.2' })]);
    }
    for (let turn = 1; turn <= 100; turn++) {
      expect(forwarder.turn()).toBe(true);
      expect([ports.sent.length, ports.written.length]).toEqual([turn, turn]);
    }
    expect(forwarder.turn()).toBe(false);
  });

  test('says that something moved when only one direction had a packet', () => {
    const { forwarder, ports } = setUp();
    ports.tun.push(ipv4Packet({}));
    expect(forwarder.turn()).toBe(true);
    ports.socket.push([PEER, ipv4Packet({ from: '10.2.0.2' })]);
    expect(forwarder.turn()).toBe(true);
    expect(forwarder.turn()).toBe(false);
  });

  test('delivers while the socket has no room for sending', () => {
    const { forwarder, ports } = setUp();
    ports.sendErrors.push(-11, -11);
    ports.tun.push(ipv4Packet({}));
    ports.socket.push([PEER, ipv4Packet({ from: '10.2.0.2' })]);
    expect(forwarder.turn()).toBe(true);
    expect(ports.written).toHaveLength(1);
    expect(forwarder.turn()).toBe(false);
  });

  test('takes new routes over between two packets of a full queue', () => {
    const { forwarder, ports, control, route } = setUp();
    for (let i = 0; i < 4; i++) ports.tun.push(ipv4Packet({ to: '10.2.0.1' }));
    forwarder.turn();
    control.setRoutes([route('10.2.0.0/24', OTHER)]);
    forwarder.turn();
    expect(ports.sent.map(({ peer }) => peer)).toEqual([PEER, OTHER]);
  });
});

describe('forwardOutgoing()', () => {
  test('sends a packet to the peer of its destination', () => {
    const { emit, ports, control } = setUp();
    expect(emit({ to: '10.3.0.9', ttl: 64 })).toBe(true);
    expect(ports.sent.map(({ peer }) => peer)).toEqual([OTHER]);
    expect(timeToLive(ports.sent[0]!.packet)).toBe(63);
    expect(control.counters()).toMatchObject({ tunPackets: 1, tunBytes: 28, sentPackets: 1, sentBytes: 28 });
    expect(control.counters().peers.get(OTHER)).toMatchObject({ sentPackets: 1, sentBytes: 28 });
  });

  test('says that there is nothing', () => {
    const { forwarder, ports } = setUp();
    expect(forwarder.forwardOutgoing()).toBe(false);
    ports.tun.push(-4);
    expect(forwarder.forwardOutgoing()).toBe(false);
  });

  test.each([
    ['no route', { to: '10.9.0.1' }, 'no_route', 3, 0],
    ['an expired TTL', { ttl: 1 }, 'ttl_expired', 11, 0],
    ['a packet too big', { payload: new Uint8Array(2000), dontFragment: true }, 'too_big', 3, 4],
  ] as const)('answers %s into the device', (_, fields, reason, type, code) => {
    const { emit, ports, control } = setUp();
    expect(emit(fields)).toBe(true);
    expect(ports.sent).toEqual([]);
    expect(ports.written.map(icmpOf)).toEqual([{ type, code, from: ME, to: parseIp('10.1.0.2') }]);
    expect(control.counters()).toMatchObject({ icmpSent: 1, dropped: { [reason]: 1 } });
  });

  test('does not answer an ICMP error', () => {
    const { emit, ports, control } = setUp();
    emit({ to: '10.9.0.1', protocol: 1, payload: icmpMessage(3) });
    expect(ports.written).toEqual([]);
    expect(control.counters()).toMatchObject({ icmpSent: 0, icmpSuppressed: 0, dropped: { no_route: 1 } });
  });

  test('limits the rate of its answers', () => {
    const { emit, ports, control, clock } = setUp();
    for (let i = 0; i < 60; i++) emit({ to: '10.9.0.1' });
    expect(ports.written).toHaveLength(50);
    expect(control.counters()).toMatchObject({ icmpSent: 50, icmpSuppressed: 10 });
    clock.now += 5;
    for (let i = 0; i < 60; i++) emit({ to: '10.9.0.1' });
    expect(ports.written).toHaveLength(55);
  });

  test('keeps a packet that the socket has no room for, and sends it once, unchanged', () => {
    const { emit, forwarder, ports, control } = setUp();
    ports.sendErrors.push(-11, -11, -4);
    expect(emit({ to: '10.2.0.1', ttl: 9 })).toBe(false);
    expect(forwarder.stalled).toBe(true);
    ports.tun.push(ipv4Packet({ to: '10.3.0.1' }));
    expect(forwarder.forwardOutgoing()).toBe(false);
    expect(forwarder.forwardOutgoing()).toBe(true); // interrupted by a signal
    expect(forwarder.forwardOutgoing()).toBe(true);
    expect(forwarder.stalled).toBe(false);
    expect(forwarder.forwardOutgoing()).toBe(true);
    expect(ports.sent.map(({ peer, packet }) => [peer, timeToLive(packet)])).toEqual([
      [PEER, 8],
      [OTHER, 63],
    ]);
    expect(control.counters()).toMatchObject({ sentPackets: 2, sendStalls: 1 });
  });

  test('finish() sends the packet that waits, and reads no more', () => {
    const { emit, forwarder, ports } = setUp();
    ports.sendErrors.push(-11, -11, -4);
    emit({});
    ports.tun.push(ipv4Packet({}));
    expect([forwarder.finish(), forwarder.finish(), forwarder.finish(), forwarder.finish()]).toEqual([
      ...[false, false, true, true],
    ]);
    expect([ports.sent.length, ports.tun.length]).toEqual([1, 1]);
  });

  test('sends a waiting packet where its new route says, or drops it when there is none', () => {
    const { emit, forwarder, ports, control, route, setRoutes } = setUp();
    ports.sendErrors.push(-11);
    emit({ to: '10.2.0.1' });
    setRoutes(route('10.2.0.0/24', OTHER));
    expect(forwarder.forwardOutgoing()).toBe(true);
    expect(ports.sent.map(({ peer }) => peer)).toEqual([OTHER]);
    ports.sendErrors.push(-11);
    emit({ to: '10.2.0.1' });
    setRoutes();
    expect(forwarder.stalled).toBe(false);
    expect(control.counters().dropped.no_route).toBe(1);
  });

  test('counts a failed send, and the rest goes on', () => {
    const { emit, ports, control } = setUp();
    ports.sendErrors.push(-101);
    expect(emit({})).toBe(true);
    expect(emit({})).toBe(true);
    expect(ports.sent).toHaveLength(1);
    expect(control.counters()).toMatchObject({ lastErrno: 101, dropped: { send_failed: 1 } });
  });

  test('answers fragmentation needed when the kernel finds a datagram too big', () => {
    const { emit, ports, control } = setUp();
    ports.sendErrors.push(-90, -90);
    emit({ payload: new Uint8Array(1400), dontFragment: true });
    emit({ payload: new Uint8Array(1400) });
    expect(ports.written.map((packet) => [packet[20], packet[21], word(packet, 26)])).toEqual([[3, 4, 1006]]);
    expect(control.counters().dropped.too_big).toBe(2);
  });

  test('throws when the device is gone', () => {
    const { forwarder, ports } = setUp();
    ports.tun.push(-77);
    expect(() => forwarder.forwardOutgoing()).toThrow(
      expect.objectContaining({
        code: 'DESCRIPTOR_LOST',
        message: 'Cannot read from the TUN device any more (EBADFD)',
      }),
    );
  });
});

describe('forwardIncoming()', () => {
  test('writes the packet of a peer into the device', () => {
    const { receive, ports, control } = setUp();
    expect(receive({ ttl: 63 })).toBe(true);
    expect(timeToLive(ports.written[0]!)).toBe(62);
    expect(control.counters()).toMatchObject({
      socketPackets: 1,
      socketBytes: 28,
      deliveredPackets: 1,
      deliveredBytes: 28,
    });
    expect(control.counters().peers.get(PEER)).toMatchObject({ receivedPackets: 1, receivedBytes: 28 });
  });

  test('leaves bytes after the packet behind', () => {
    const { forwarder, ports } = setUp();
    const padded = new Uint8Array(100);
    padded.set(ipv4Packet({ from: '10.2.0.2' }));
    ports.socket.push([PEER, padded]);
    forwarder.forwardIncoming();
    expect(ports.written[0]).toHaveLength(28);
  });

  test('drops datagrams of strangers, spoofed sources and short ones', () => {
    const { receive, forwarder, ports, control } = setUp();
    receive({}, parseIp('192.0.2.77'));
    receive({ from: '10.3.0.1' });
    ports.socket.push([PEER, new Uint8Array(1)], [PEER, new Uint8Array(0)]);
    forwarder.forwardIncoming();
    forwarder.forwardIncoming();
    expect(ports.written).toEqual([]);
    expect(control.counters()).toMatchObject({
      socketPackets: 4,
      dropped: { unknown_peer: 1, spoofed_source: 1, too_short: 2 },
    });
  });

  test('drops a datagram larger than the buffer', () => {
    const { forwarder, ports, control } = setUp();
    ports.socket.push([PEER, new Uint8Array(65537)]);
    expect(forwarder.forwardIncoming()).toBe(true);
    expect(control.counters().dropped.truncated).toBe(1);
  });

  test('answers an expired TTL to the peer that has the source', () => {
    const { receive, ports, control } = setUp();
    receive({ ttl: 1 });
    expect(ports.written).toEqual([]);
    expect(ports.sent.map(({ peer, packet }) => [peer, icmpOf(packet)])).toEqual([
      [PEER, { type: 11, code: 0, from: ME, to: parseIp('10.2.0.2') }],
    ]);
    expect(control.counters()).toMatchObject({ icmpSent: 1, dropped: { ttl_expired: 1 } });
  });

  test('counts a failed write, and the rest goes on', () => {
    const { receive, ports, control } = setUp();
    ports.writeErrors.push(-5); // EIO: the device is down
    receive({});
    receive({});
    expect(ports.written).toHaveLength(1);
    expect(control.counters()).toMatchObject({ lastErrno: 5, dropped: { write_failed: 1 }, deliveredPackets: 1 });
  });

  test('goes on after an error of the socket, but not after one without end', () => {
    const { receive, forwarder, ports, control } = setUp();
    ports.socket.push(-111);
    expect(forwarder.forwardIncoming()).toBe(true);
    receive({});
    expect(control.counters()).toMatchObject({ receiveErrors: 1, lastErrno: 111, deliveredPackets: 1 });
    ports.socket.push(...Array<number>(2000).fill(-111));
    const drain = (): void => {
      while (forwarder.forwardIncoming());
    };
    expect(drain).toThrow(expect.objectContaining({ code: 'DESCRIPTOR_LOST' }));
  });
});
