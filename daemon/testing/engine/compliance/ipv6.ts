import { ipFromBytes, parseIp } from '@flannel-ts/inet/ip';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import type { EngineRoute, StartEngine } from '../../../src/datapath/tun/engine/engine.ts';
import { checksum6 } from '../../../src/datapath/tun/engine/icmpv6.ts';
import { IPV6_DESTINATION, IPV6_SOURCE } from '../../../src/datapath/tun/engine/ipv6-header.ts';
import type { Reason } from '../../../src/datapath/tun/engine/reasons.ts';
import { type DeviceTap, drainFd, ETH_P_IPV6, type LabOptions, MTU, until } from '../lab.ts';
import { aged6, icmp6Packet, ipv6Packet, type PacketFields6 } from '../packets6.ts';
import { Bench, route } from './bench.ts';

const OWN = parseIp('fd00:0:0:1::');

/** IPv6 inside. */
export function describeIpv6(start: StartEngine, options?: LabOptions): void {
  describe('with IPv6 inside', () => {
    const bench = new Bench(start, options);
    const six = new Six(bench);
    beforeAll(() => {
      bench.setUp();
      six.device = bench.lab.device(bench.node, ETH_P_IPV6);
    });
    afterAll(() => bench.tearDown());
    beforeEach(async () => {
      drainFd(six.device.fd);
      await bench.run({ tunAddress6: OWN });
      await six.setRoutes(six.route('fd00:0:0:2::/64'), six.route('fd00:0:0:3::/64', true));
    });
    afterEach(() => bench.stop());

    describeForwarding(bench, six);
    describeErrors(bench, six);
    describeDrops(bench, six);
  });
}

/** The device's IPv6 side. */
class Six {
  device!: DeviceTap;

  constructor(readonly bench: Bench) {}

  /** To the peer, or the other one. */
  route(subnet: string, other = false): EngineRoute {
    const { peerAddress, otherPeerAddress } = this.bench;
    return { subnet: parsePrefix(subnet), peer: other ? otherPeerAddress : peerAddress };
  }

  setRoutes(...routes: EngineRoute[]): Promise<void> {
    const { peerAddress, otherPeerAddress } = this.bench;
    return this.bench.setRoutes(route('10.2.0.0/24', peerAddress), route('10.3.0.0/24', otherPeerAddress), ...routes);
  }

  emit(packet = ipv6Packet()): Uint8Array {
    this.device.send(packet);
    return packet;
  }

  inject(fields: PacketFields6 = {}, sender = this.bench.peer): Uint8Array {
    const packet = ipv6Packet({ from: 'fd00:0:0:2::2', to: 'fd00:0:0:1::2', ...fields });
    sender.send(packet, this.bench.node.address);
    return packet;
  }

  async nothingElse(): Promise<void> {
    await this.bench.nothingElse();
    expect(this.device.tryReceive()).toBeUndefined();
  }
}

function describeForwarding(bench: Bench, six: Six): void {
  const payload = Uint8Array.from({ length: 1300 }, (_, i) => i * 7);

  test('sends a packet to its peer and writes that of a peer, one hop older, all else unchanged', async () => {
    for (const fields of [{ payload }, { trafficClass: 0xb9, flowLabel: 0xf1234, hopLimit: 255 }, { hopLimit: 2 }]) {
      const out = six.emit(ipv6Packet(fields));
      expect((await bench.peer.receive()).bytes).toEqual(aged6(out));
      const back = six.inject(fields);
      expect(await six.device.receive()).toEqual(aged6(back));
    }
  });

  test('goes on carrying IPv4, in the order in which packets come', async () => {
    for (let round = 0; round < 10; round++) {
      const first = six.emit();
      const second = bench.emit({ identification: round });
      expect((await bench.peer.receive()).bytes).toEqual(aged6(first));
      expect((await bench.peer.receive()).bytes.subarray(4, 6)).toEqual(second.subarray(4, 6));
    }
    await six.nothingElse();
  });

  test('takes the longest prefix, and follows a subnet to another peer', async () => {
    await six.setRoutes(six.route('fd00::/48', true), six.route('fd00:0:0:2::/64'));
    six.emit(ipv6Packet({ to: 'fd00:0:0:9::1' }));
    expect((await bench.otherPeer.receive()).bytes[7]).toBe(63);
    six.emit();
    await bench.peer.receive();
    await six.setRoutes(six.route('fd00:0:0:2::/64', true));
    six.emit();
    await bench.otherPeer.receive();
    six.inject();
    const moved = six.inject({}, bench.otherPeer);
    expect(await six.device.receive()).toEqual(aged6(moved));
    await until(() => bench.engine!.counters().dropped.spoofed_source === 1, 'the drop');
    await six.setRoutes(six.route('fd00:0:0:2::/64'));
    await six.nothingElse();
  });

  test('leaves bytes after a packet behind', async () => {
    const packet = ipv6Packet({ from: 'fd00:0:0:2::2', to: 'fd00:0:0:1::2' });
    bench.peer.send(Uint8Array.from([...packet, ...new Uint8Array(50)]), bench.node.address);
    expect(await six.device.receive()).toEqual(aged6(packet));
  });

  test('counts both families together', async () => {
    six.emit(ipv6Packet({ payload: new Uint8Array(60) }));
    await bench.peer.receive();
    six.inject({ payload: new Uint8Array(160) });
    await six.device.receive();
    await bench.counted(1, 1);
    expect(bench.engine!.counters().peers.get(bench.peerAddress)).toMatchObject({
      sentPackets: 1,
      sentBytes: 100,
      receivedPackets: 1,
      receivedBytes: 200,
    });
  });
}

function describeErrors(bench: Bench, six: Six): void {
  test.each<readonly [string, Uint8Array, number, number, Reason]>([
    ['no route', ipv6Packet({ to: 'fd00:0:0:9::1' }), 1, 0, 'no_route'],
    ['no route, of an echo request', icmp6Packet(128, { to: 'fd00:0:0:9::1' }), 1, 0, 'no_route'],
    ['an expired hop limit', ipv6Packet({ hopLimit: 1 }), 3, 0, 'ttl_expired'],
    ['a packet too big', ipv6Packet({ payload: new Uint8Array(MTU - 39) }), 2, MTU, 'too_big'],
  ])('answers %s with an ICMPv6 error', async (_, offender, type, mtu, reason) => {
    const sent = six.emit(offender);
    const answer = await six.device.receive();
    expect([answer[6], answer[40], answer[41], new DataView(answer.buffer).getUint32(44)]).toEqual([58, type, 0, mtu]);
    expect(checksum6(answer, 58, 40, answer.length - 40)).toBe(0);
    expect(answer.length).toBeLessThanOrEqual(1280);
    expect(ipFromBytes(6, answer, IPV6_SOURCE)).toBe(OWN);
    expect(answer.subarray(IPV6_DESTINATION, 40)).toEqual(sent.subarray(IPV6_SOURCE, IPV6_DESTINATION));
    expect(answer.subarray(48)).toEqual(sent.subarray(0, answer.length - 48));
    await six.nothingElse();
    expect(bench.engine!.counters()).toMatchObject({ icmpSent: 1, dropped: { [reason]: 1 } });
  });

  test('answers the expired hop limit of an incoming packet to its peer', async () => {
    six.inject({ hopLimit: 1 });
    const answer = (await bench.peer.receive()).bytes;
    expect([answer[6], answer[40]]).toEqual([58, 3]);
    expect(ipFromBytes(6, answer, IPV6_DESTINATION)).toBe(parseIp('fd00:0:0:2::2'));
    await six.nothingElse();
  });

  test.each([
    ['an ICMPv6 error', icmp6Packet(1, { to: 'fd00:0:0:9::1' })],
    ['multicast', ipv6Packet({ to: 'ff02::fb' })],
    ['a source that is no host', ipv6Packet({ from: '::', to: 'fd00:0:0:9::1' })],
  ])('does not answer %s', async (_, offender) => {
    six.emit(offender);
    await six.nothingElse();
    expect(bench.engine!.counters()).toMatchObject({ icmpSent: 0, dropped: { no_route: 1 } });
  });
}

function describeDrops(bench: Bench, six: Six): void {
  const broken: readonly (readonly [string, Uint8Array, Reason])[] = [
    ['less than a header', ipv6Packet().subarray(0, 39), 'too_short'],
    ['a payload length above what came', ipv6Packet({ from: 'fd00:0:0:2::2' }).subarray(0, 47), 'malformed'],
    ['another version', Uint8Array.from([0x50, ...ipv6Packet().subarray(1)]), 'not_ipv4'],
  ];

  test.each(broken)('drops %s from the device and from a peer', async (_, packet, reason) => {
    const before = bench.engine!.counters().dropped[reason];
    six.emit(packet);
    bench.peer.send(packet, bench.node.address);
    await six.nothingElse();
    expect(bench.engine!.counters().dropped[reason]).toBe(before + 2);
  });

  test('drops datagrams of strangers', async () => {
    six.inject({}, bench.stranger);
    await six.nothingElse();
    expect(bench.engine!.counters().dropped.unknown_peer).toBe(1);
  });

  test.each([
    ['another peer', 'fd00:0:0:3::2'],
    ['nobody', '2001:db8::1'],
    ['this node', 'fd00:0:0:1::'],
    ['a link', 'fe80::1'],
  ])('drops an inner source that belongs to %s', async (_, from) => {
    six.inject({ from });
    await six.nothingElse();
    expect(bench.engine!.counters().dropped.spoofed_source).toBe(1);
  });
}
