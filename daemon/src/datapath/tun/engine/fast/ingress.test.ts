import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { EINVAL } from '@flannel-ts/linux/errno';
import fc from 'fast-check';
import { bytes, FLAGS, type TcpFields, tcpPacket, udpPacket } from '../../../../../testing/engine/fast/flows.ts';
import type { Message } from '../../../../../testing/engine/fast/memory-ports.ts';
import { ALL, Fast, OTHER_PEER, PEER, Reference } from '../../../../../testing/engine/fast/pair.ts';
import { segment } from '../../../../../testing/engine/fast/segment.ts';
import { ipv4Packet, sealed } from '../../../../../testing/engine/packets.ts';
import { putWord, word } from '../ipv4-header.ts';

const IN = { from: '10.2.0.2', to: '10.1.0.2' };

/** Packets as UDP_GRO puts them together: of one length, but for a shorter last one. */
function messages(packets: readonly Uint8Array[], sender: Ipv4 = PEER): Message[] {
  const groups: Uint8Array[][] = [];
  for (const packet of packets) {
    const group = groups.at(-1);
    const size = group?.at(0)?.length ?? 0;
    const fits = group !== undefined && group.at(-1)!.length === size && packet.length <= size && group.length < 44;
    if (fits && packet.length > 0) group.push(packet);
    else groups.push([packet]);
  }
  return groups.map((group) => ({
    sender,
    bytes: Uint8Array.from(Buffer.concat(group)),
    size: group.length > 1 ? group[0]!.length : 0,
  }));
}

function receive(packets: readonly Uint8Array[], fast = new Fast()): Fast {
  fast.ports.socket.push(...messages(packets));
  fast.in();
  return fast;
}

/** What came out of the device, as the kernel segments it again. */
function delivered(fast: Fast): Uint8Array[] {
  return fast.ports.written.flatMap(segment);
}

function reference(packets: readonly Uint8Array[]): Reference {
  const made = new Reference();
  for (const packet of packets) made.ports.socket.push([PEER, packet.slice()]);
  made.in();
  return made;
}

/** The number of packets of each write. */
function runs(fast: Fast): number[] {
  return fast.ports.written.map((bytes) => segment(bytes).length);
}

function stream(count: number, size: number, fields: (index: number) => TcpFields = () => ({})): Uint8Array[] {
  return Array.from({ length: count }, (_, i) =>
    tcpPacket({ ...IN, data: bytes(size, i * size), sequence: i * size, identification: i, ...fields(i) }),
  );
}

describe('ingress', () => {
  test('merges what follows each other, up to a short last packet', () => {
    const packets = [...stream(10, 1000), tcpPacket({ ...IN, data: bytes(333), sequence: 10_000, identification: 10 })];
    const fast = receive(packets);
    expect(runs(fast)).toEqual([11]);
    expect(delivered(fast)).toEqual(reference(packets).ports.written);
    expect(fast.counters).toMatchObject({ socketPackets: 11, deliveredPackets: 11, mergedWrites: 1 });
    expect(fast.counters.deliveredBytes).toBe(reference(packets).counters.deliveredBytes);
  });

  test('merges across messages, flow by flow', () => {
    const flows = [0, 1, 2].map((n) => stream(6, 1000, () => ({ ports: [1000 + n, 80] })));
    const packets = Array.from({ length: 18 }, (_, i) => flows[i % 3]![Math.floor(i / 3)]!);
    expect(runs(receive(packets))).toEqual([6, 6, 6]);
  });

  const apart: Record<string, (index: number) => TcpFields> = {
    'another TTL': (i) => ({ ttl: 60 + i }),
    'another ECN mark': (i) => ({ tos: i }),
    'another acknowledgement': (i) => ({ acknowledgement: i }),
    'another window': (i) => ({ window: 100 + i }),
    'other options': (i) => ({ tcpOptions: Uint8Array.of(1, 1, 1, 1 - i) }),
    'a gap': (i) => ({ sequence: i * 1001 }),
    'a repetition': () => ({ sequence: 0 }),
    'PSH before it': (i) => ({ flags: i === 0 ? FLAGS.ack | FLAGS.psh : FLAGS.ack }),
    'ECE after none': (i) => ({ flags: i === 0 ? FLAGS.ack : FLAGS.ack | FLAGS.ece }),
    CWR: () => ({ flags: FLAGS.ack | FLAGS.cwr }),
    URG: () => ({ flags: FLAGS.ack | FLAGS.urg }),
    'FIN with data': () => ({ flags: FLAGS.ack | FLAGS.fin }),
    'ids that jump, where fragments are allowed': (i) => ({ dontFragment: false, identification: i * 2 }),
    'IPv4 options': () => ({ options: new Uint8Array(4).fill(1) }),
    'a larger packet': (i) => ({ data: bytes(1000 + i) }),
  };

  test.each(Object.entries(apart))('does not merge over %s', (_, fields) => {
    const packets = stream(2, 1000, fields);
    const fast = receive(packets);
    expect(runs(fast)).toEqual([1, 1]);
    expect(delivered(fast)).toEqual(reference(packets).ports.written);
  });

  test('merges ids that follow each other where fragments are allowed, and PSH and ECE on the last or on all', () => {
    expect(runs(receive(stream(3, 500, () => ({ dontFragment: false }))))).toEqual([3]);
    const pushed = stream(3, 500, (i) => ({ flags: FLAGS.ack | FLAGS.ece | (i === 2 ? FLAGS.psh : 0) }));
    const fast = receive(pushed);
    expect(runs(fast)).toEqual([3]);
    expect(delivered(fast)).toEqual(reference(pushed).ports.written);
  });

  test('does not make a wrong checksum a right one', () => {
    for (const wrong of [0, 1, 2]) {
      const packets = stream(3, 1000);
      packets[wrong]![50]! ^= 1;
      expect(delivered(receive(packets))).toEqual(reference(packets).ports.written);
    }
  });

  test('a packet of the flow that cannot be merged is not overtaken', () => {
    const [a, b, c] = stream(3, 1000) as [Uint8Array, Uint8Array, Uint8Array];
    const fragment = ipv4Packet({ ...IN, protocol: 6, fragmentOffset: 10, payload: bytes(64) });
    for (const between of [tcpPacket(IN), tcpPacket({ ...IN, flags: FLAGS.rst }), fragment]) {
      const packets = [a, between, b, c];
      expect(delivered(receive(packets))).toEqual(reference(packets).ports.written);
    }
  });

  test('merges datagrams of one length, without those that have no checksum', () => {
    const datagrams = Array.from({ length: 5 }, (_, i) => udpPacket({ ...IN, data: bytes(200, i), identification: i }));
    const fast = receive(datagrams);
    expect(runs(fast)).toEqual([5]);
    expect(delivered(fast)).toEqual(reference(datagrams).ports.written);
    const bare = datagrams.map((packet) => {
      const copy = packet.slice();
      putWord(copy, 26, 0);
      return copy;
    });
    expect(runs(receive(bare))).toEqual([1, 1, 1, 1, 1]);
    expect(runs(receive(datagrams, new Fast({ ...ALL, merging: { tcp: true, udp: false } })))).toEqual([1, 1, 1, 1, 1]);
  });

  test('stops at 64 packets and at 65535 bytes', () => {
    expect(runs(receive(stream(70, 100)))).toEqual([64, 6]);
    expect(runs(receive(stream(50, 1432)))).toEqual([45, 5]);
  });

  test('drops what another peer may not send', () => {
    const fast = new Fast();
    fast.ports.socket.push(...messages(stream(3, 100), OTHER_PEER), ...messages(stream(2, 100), 1 as Ipv4));
    fast.in();
    expect(fast.counters.dropped).toMatchObject({ spoofed_source: 3, unknown_peer: 2 });
    expect(fast.ports.written).toEqual([]);
  });

  test('writes packets alone once the device refuses merged ones', () => {
    const fast = new Fast();
    fast.ports.writeErrors.push(EINVAL);
    const packets = stream(4, 1000);
    receive(packets, fast);
    expect(delivered(fast)).toEqual(reference(packets).ports.written);
    receive(stream(3, 1000), fast);
    expect(runs(fast)).toEqual([1, 1, 1, 1, 1, 1, 1]);
    expect(fast.counters).toMatchObject({ offloadFallbacks: 1, deliveredPackets: 7 });
  });

  test('has room for more packets than entries', () => {
    const packets = Array.from({ length: 1300 }, (_, i) => udpPacket({ ...IN, ports: [i, i] }));
    expect(delivered(receive(packets))).toEqual(reference(packets).ports.written);
  });

  test('writes to a plain device as it came', () => {
    const packets = stream(3, 1000);
    const fast = receive(packets, new Fast({ ...ALL, vnet: false }));
    expect(fast.ports.written).toEqual(reference(packets).ports.written);
  });
});

/** Packets by flow; an id that may change on the way (DF) is left out. */
function byFlow(packets: readonly Uint8Array[]): Record<string, string[]> {
  const flows: Record<string, string[]> = {};
  for (const packet of packets) {
    const key =
      Buffer.from(packet.subarray(9, 10)).toString('hex') + Buffer.from(packet.subarray(12, 24)).toString('hex');
    const copy = packet.slice();
    if ((word(copy, 6) & 0x4000) !== 0) putWord(copy, 4, 0);
    flows[key] = [...(flows[key] ?? []), Buffer.from(sealed(copy)).toString('hex')];
  }
  return flows;
}

describe('ingress, beside the reference engine', () => {
  test('random streams come out the same, in order, once segmented again', () => {
    const piece = fc.record({
      flow: fc.integer({ min: 0, max: 2 }),
      kind: fc.constantFrom('tcp', 'tcp', 'tcp', 'tcp', 'udp', 'fragment', 'noise'),
      data: fc.constantFrom(0, 99, 100, 100, 100, 100, 101),
      skip: fc.constantFrom(0, 0, 0, 0, 0, 0, 5, -100),
      flags: fc.constantFrom(16, 16, 16, 16, 24, 80, 17, 2, 144),
      ttl: fc.constantFrom(64, 64, 64, 64, 63, 1),
      tos: fc.constantFrom(0, 0, 0, 0, 3),
      idStep: fc.constantFrom(1, 1, 1, 0, 2),
      dontFragment: fc.boolean(),
      bend: fc.option(fc.nat(99), { freq: 12 }),
    });
    const property = fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
      const sequence = [0, 0xffff_ff00, 77];
      const ids = [0, 0xfffe, 9];
      const packets = pieces.map(({ flow, kind, data, skip, idStep, bend, ...fields }) => {
        sequence[flow]! += skip;
        ids[flow]! += idStep;
        const all = { ...IN, ...fields, ports: [flow, 80] as const, data: bytes(data, sequence[flow]!) };
        const identification = ids[flow]! & 0xffff;
        if (kind === 'noise')
          return ipv4Packet({ ...IN, ...fields, protocol: 47, payload: bytes(data), identification });
        if (kind === 'fragment') {
          return ipv4Packet({ ...IN, protocol: 6, moreFragments: true, payload: bytes(data), identification });
        }
        const made = (kind === 'tcp' ? tcpPacket : udpPacket)({ ...all, identification, sequence: sequence[flow]! });
        if (kind === 'tcp') sequence[flow]! += data;
        if (bend !== null && bend < made.length) made[bend]! ^= 0x10;
        return made;
      });
      const fast = receive(packets);
      const slow = reference(packets);
      expect(byFlow(delivered(fast))).toEqual(byFlow(slow.ports.written));
      expect(fast.counters.dropped).toEqual(slow.counters.dropped);
      expect(fast.counters.deliveredPackets).toBe(slow.counters.deliveredPackets);
      expect(fast.counters.deliveredBytes).toBe(slow.counters.deliveredBytes);
    });
    fc.assert(property, { numRuns: 300 });
  });
});
