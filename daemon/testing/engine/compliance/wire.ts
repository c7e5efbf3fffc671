import { parseIp } from '@flannel-ts/inet/ip';
import { internetChecksum } from '../../../src/datapath/tun/engine/checksum.ts';
import type { StartEngine } from '../../../src/datapath/tun/engine/engine.ts';
import { checkHeader, destination, putWord } from '../../../src/datapath/tun/engine/ipv4-header.ts';
import type { Reason } from '../../../src/datapath/tun/engine/reasons.ts';
import { type LabOptions, MTU, PORT, underlayAddress, until } from '../lab.ts';
import { hex, icmpMessage, ipv4Packet, type PacketFields, sealed } from '../packets.ts';
import { aged, Bench, icmpError, route } from './bench.ts';

/** What goes in at one end and comes out at the other, byte for byte. */
export function describeWire(start: StartEngine, options?: LabOptions): void {
  const bench = new Bench(start, options);
  beforeAll(() => bench.setUp());
  afterAll(() => bench.tearDown());

  describe('on the wire', () => {
    beforeEach(async () => void (await bench.run()));
    afterEach(() => bench.stop());

    describeForwarding(bench);
    describeRoutes(bench);
    describeErrors(bench);
    describeDrops(bench);
  });

  describe('with other options', () => {
    afterEach(() => bench.stop());

    test('takes strangers and any source when the filter is off', async () => {
      await bench.run({ filterPeers: false });
      const strange = bench.inject({ from: '8.8.8.8' }, bench.stranger);
      expect(await bench.device.receive()).toEqual(aged(strange));
      bench.inject({ from: '10.1.0.0' });
      await bench.nothingElse();
      expect(bench.engine!.counters().dropped).toMatchObject({ spoofed_source: 1, unknown_peer: 0 });
    });
  });
}

function describeForwarding(bench: Bench): void {
  const payload = Uint8Array.from({ length: 1400 }, (_, i) => i * 7);

  test('sends a packet to its peer, one hop older, from the bound port to the peer port', async () => {
    const packet = bench.emit({ payload, tos: 0x2b, identification: 0xbeef, dontFragment: true, ttl: 33 });
    const datagram = await bench.peer.receive();
    expect(datagram.bytes).toEqual(aged(packet));
    expect([datagram.address, datagram.port]).toEqual([bench.node.address, PORT]);
  });

  test('writes the packet of a peer into the device, one hop older', async () => {
    const packet = bench.inject({ payload, tos: 0x2b, identification: 0xbeef, options: new Uint8Array(12).fill(1) });
    expect(await bench.device.receive()).toEqual(aged(packet));
  });

  test('passes a TTL of 2 and of 255', async () => {
    for (const ttl of [2, 255]) {
      const out = bench.emit({ ttl });
      expect((await bench.peer.receive()).bytes).toEqual(aged(out));
      const back = bench.inject({ ttl });
      expect(await bench.device.receive()).toEqual(aged(back));
    }
  });

  test('passes fragments', async () => {
    for (const fields of [
      { moreFragments: true },
      { fragmentOffset: 100, moreFragments: true },
      { fragmentOffset: 9 },
    ]) {
      const out = bench.emit(fields);
      expect((await bench.peer.receive()).bytes).toEqual(aged(out));
      const back = bench.inject(fields);
      expect(await bench.device.receive()).toEqual(aged(back));
    }
  });

  test('takes datagrams of a peer from any of its ports', async () => {
    const elsewhere = bench.lab.udp(bench.other, underlayAddress(bench.options, 2), 40000);
    const packet = bench.inject({}, elsewhere);
    expect(await bench.device.receive()).toEqual(aged(packet));
  });

  test('passes the addresses of the nodes themselves: the first two of a subnet', async () => {
    for (const from of ['10.2.0.0', '10.2.0.1']) {
      const packet = bench.inject({ from });
      expect(await bench.device.receive()).toEqual(aged(packet));
    }
  });

  test('leaves bytes after a packet behind', async () => {
    const packet = ipv4Packet({ from: '10.2.0.2', to: '10.1.0.77' });
    bench.peer.send(Uint8Array.from([...packet, ...new Uint8Array(50)]), bench.node.address);
    expect(await bench.device.receive()).toEqual(aged(packet));
  });

  test('writes the largest packet that a datagram holds', async () => {
    const packet = bench.inject({ payload: new Uint8Array(65507 - 20).fill(0xab) });
    expect(await bench.device.receive()).toEqual(aged(packet));
  });

  test('sends a packet above the MTU that may be fragmented, in a datagram that the kernel fragments', async () => {
    const packet = bench.emit({ payload: new Uint8Array(8000).fill(0xcd) });
    expect((await bench.peer.receive()).bytes).toEqual(aged(packet));
  });
}

function describeRoutes(bench: Bench): void {
  test('takes the longest prefix', async () => {
    await bench.setRoutes(
      route('10.2.0.0/16', bench.otherPeerAddress),
      route('10.2.0.0/24', bench.peerAddress),
      route('10.2.0.9/32', bench.otherPeerAddress),
    );
    bench.emit({ to: '10.2.9.9' });
    bench.emit({ to: '10.2.0.9' });
    for (const to of ['10.2.9.9', '10.2.0.9']) {
      expect(destination((await bench.otherPeer.receive()).bytes)).toBe(parseIp(to));
    }
    bench.emit({ to: '10.2.0.8' });
    expect(destination((await bench.peer.receive()).bytes)).toBe(parseIp('10.2.0.8'));
  });

  test('follows a subnet to another peer, out and in', async () => {
    await bench.setRoutes(route('10.2.0.0/24', bench.otherPeerAddress));
    bench.emit();
    await bench.otherPeer.receive();
    bench.inject();
    const packet = bench.inject({}, bench.otherPeer);
    expect(await bench.device.receive()).toEqual(aged(packet));
    await bench.setRoutes(route('10.2.0.0/24', bench.peerAddress));
    await bench.nothingElse();
    expect(bench.engine!.counters().dropped.unknown_peer).toBe(1);
  });

  test('has no route left after an empty table', async () => {
    await bench.setRoutes();
    bench.emit();
    expect(icmpError(await bench.device.receive())).toMatchObject({ type: 3, code: 0 });
    await bench.setRoutes(route('10.2.0.0/24', bench.peerAddress));
    await bench.nothingElse();
  });

  test('takes a table of thousands of routes', async () => {
    const many = Array.from({ length: 5000 }, (_, i) =>
      route(`100.${i >> 8}.${i & 255}.0/24`, bench.addressOf(1000 + i)),
    );
    await bench.setRoutes(...many, route('10.2.0.0/24', bench.peerAddress));
    await bench.nothingElse();
    expect(bench.engine!.counters().peers.size).toBe(5001);
  });
}

function describeErrors(bench: Bench): void {
  test.each<readonly [string, PacketFields, number, number, number, Reason]>([
    ['no route', { to: '10.9.0.1' }, 3, 0, 0, 'no_route'],
    ['no route, of an echo request', { to: '10.9.0.1', protocol: 1, payload: icmpMessage(8) }, 3, 0, 0, 'no_route'],
    ['no route, of a first fragment', { to: '10.9.0.1', moreFragments: true }, 3, 0, 0, 'no_route'],
    ['an expired TTL', { ttl: 1 }, 11, 0, 0, 'ttl_expired'],
    ['a packet too big', { payload: new Uint8Array(MTU - 19), dontFragment: true }, 3, 4, MTU, 'too_big'],
  ])('answers %s with an ICMP error', async (_, fields, type, code, mtu, reason) => {
    const offender = bench.emit(fields);
    const answer = await bench.device.receive();
    expect(checkHeader(answer, answer.length)).toBe(0);
    expect(internetChecksum(answer, 20, answer.length - 20)).toBe(0);
    expect(answer.length).toBeLessThanOrEqual(576);
    expect(destination(answer)).toBe(parseIp('10.1.0.77'));
    expect(icmpError(answer)).toMatchObject({ type, code, mtu, from: bench.node.tunAddress });
    const { quote } = icmpError(answer);
    expect(quote.length).toBeGreaterThanOrEqual(28);
    expect(quote).toEqual(offender.subarray(0, quote.length));
    await bench.nothingElse();
    expect(bench.engine!.counters()).toMatchObject({ icmpSent: 1, dropped: { [reason]: 1 } });
  });

  test('answers the expired TTL of an incoming packet to its peer', async () => {
    bench.inject({ ttl: 1 });
    const answer = (await bench.peer.receive()).bytes;
    expect(destination(answer)).toBe(parseIp('10.2.0.2'));
    expect(icmpError(answer)).toMatchObject({ type: 11, code: 0, from: bench.node.tunAddress });
    await bench.nothingElse();
  });

  test.each<readonly [string, PacketFields]>([
    ['an ICMP error', { protocol: 1, payload: icmpMessage(3) }],
    ['an unknown ICMP type', { protocol: 1, payload: icmpMessage(200) }],
    ['a later fragment', { fragmentOffset: 185 }],
    ['multicast', { to: '224.0.0.5' }],
    ['broadcast', { to: '255.255.255.255' }],
    ['a source that is no host', { from: '0.0.0.0' }],
    ['a loopback source', { from: '127.0.0.1' }],
  ])('does not answer %s', async (_, fields) => {
    bench.emit({ to: '10.9.0.1', ...fields });
    await bench.nothingElse();
    expect(bench.engine!.counters()).toMatchObject({ icmpSent: 0, dropped: { no_route: 1 } });
  });

  test('limits the rate of its answers', async () => {
    const burst = 400;
    for (let i = 0; i < burst; i++) bench.emit({ to: '10.9.0.1' });
    // More than the device's queue holds would be lost before the engine: all of these fit.
    const { peer, device } = bench;
    const mark = bench.emit({ ...bench.slow, identification: 77 });
    expect((await peer.receive()).bytes).toEqual(aged(mark));
    const { icmpSent, icmpSuppressed, dropped } = bench.engine!.counters();
    expect(dropped.no_route).toBe(burst);
    expect(icmpSent + icmpSuppressed).toBe(burst);
    expect(icmpSuppressed).toBeGreaterThan(0);
    while (device.tryReceive() !== undefined);
  });
}

function describeDrops(bench: Bench): void {
  const bent = (bend: (packet: Uint8Array) => void, seal = true): Uint8Array => {
    const packet = ipv4Packet({ from: '10.2.0.2', to: '10.2.0.2' });
    bend(packet);
    return seal ? sealed(packet) : packet;
  };
  const broken: readonly (readonly [string, Uint8Array, Reason])[] = [
    ['one byte', Uint8Array.of(0x45), 'too_short'],
    ['less than a header', ipv4Packet().subarray(0, 19), 'too_short'],
    ['IPv6', hex(`6000 0000 0000 3b40 ${'fe80'.padEnd(32, '0')} ${'ff02'.padEnd(32, '0')}`), 'not_ipv4'],
    ['a header length below 5 words', bent((packet) => packet.fill(0x44, 0, 1)), 'malformed'],
    ['a header longer than the packet', bent((packet) => packet.fill(0x4f, 0, 1)), 'malformed'],
    ['a total length below the header', bent((packet) => putWord(packet, 2, 19)), 'malformed'],
    ['a total length above what came', bent((packet) => putWord(packet, 2, 29)), 'malformed'],
    ['a wrong checksum', bent((packet) => packet.fill(packet[10]! ^ 1, 10, 11), false), 'bad_checksum'],
  ];

  test.each(broken)('drops %s from the device', async (_, packet, reason) => {
    const before = bench.engine!.counters().dropped[reason];
    bench.emitBytes(packet);
    await bench.nothingElse();
    expect(bench.engine!.counters().dropped[reason]).toBe(before + 1);
  });

  test.each(broken)('drops %s from a peer', async (_, packet, reason) => {
    const before = bench.engine!.counters().dropped[reason];
    bench.peer.send(packet, bench.node.address);
    await bench.nothingElse();
    expect(bench.engine!.counters().dropped[reason]).toBe(before + 1);
  });

  test('drops an empty datagram', async () => {
    const before = bench.engine!.counters().dropped.too_short;
    bench.peer.send(new Uint8Array(), bench.node.address);
    await bench.nothingElse();
    expect(bench.engine!.counters().dropped.too_short).toBe(before + 1);
  });

  test('drops datagrams of strangers', async () => {
    bench.inject({}, bench.stranger);
    await bench.nothingElse();
    expect(bench.engine!.counters().dropped.unknown_peer).toBe(1);
  });

  test.each([
    ['another peer', '10.3.0.2'],
    ['nobody', '8.8.8.8'],
    ['a pod of this node', '10.1.0.2'],
    ['this node', '10.1.0.0'],
  ])('drops an inner source that belongs to %s', async (_, from) => {
    bench.inject({ from });
    await bench.nothingElse();
    expect(bench.engine!.counters().dropped.spoofed_source).toBe(1);
  });

  test('counts packets and bytes, altogether and per peer', async () => {
    bench.emit({ payload: new Uint8Array(80) });
    await bench.peer.receive();
    bench.inject({ payload: new Uint8Array(180) });
    await bench.device.receive();
    bench.emit({ to: '10.9.0.1', protocol: 1, payload: icmpMessage(3) });
    await until(() => bench.engine!.counters().dropped.no_route === 1, 'the drop');
    const last = bench.emit({ to: '10.3.0.1' });
    expect((await bench.otherPeer.receive()).bytes).toEqual(aged(last));
    await bench.counted(2, 1);
    const counters = bench.engine!.counters();
    const path = { limit: 0, unsegmentedFrom: 0, fallbacks: 0, lastErrno: 0 };
    // Two packets of one byte each from setRoutes.
    expect(counters).toMatchObject({
      tunPackets: 5,
      tunBytes: 2 + 100 + 28 + 28,
      sentPackets: 2,
      sentBytes: 128,
      socketPackets: 1,
      socketBytes: 200,
      deliveredPackets: 1,
      deliveredBytes: 200,
      dropped: { too_short: 2, no_route: 1 },
    });
    expect(counters.peers).toEqual(
      new Map([
        [bench.peerAddress, { sentPackets: 1, sentBytes: 100, receivedPackets: 1, receivedBytes: 200, path }],
        [bench.otherPeerAddress, { sentPackets: 1, sentBytes: 28, receivedPackets: 0, receivedBytes: 0, path }],
      ]),
    );
  });
}
