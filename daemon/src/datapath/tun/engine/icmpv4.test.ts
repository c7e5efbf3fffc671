import { parseIp } from '@flannel-ts/inet/ip';
import fc from 'fast-check';
import { hex, icmpMessage, ipv4Packet } from '../../../../testing/engine/packets.ts';
import { internetChecksum } from './checksum.ts';
import { deservesIcmpv4Error, MAX_ICMPV4_ERROR, writeIcmpv4Error } from './icmpv4.ts';
import { checkHeader } from './ipv4-header.ts';
import { HOPS_EXCEEDED, NO_ROUTE_ERROR, tooBig } from './router-error.ts';

const FROM = parseIp('10.1.0.0');

function error(offender: Uint8Array, kind = NO_ROUTE_ERROR): Uint8Array {
  const out = new Uint8Array(MAX_ICMPV4_ERROR).fill(0xee);
  return out.subarray(0, writeIcmpv4Error(out, offender, kind, FROM, 0x1234));
}

describe('writeIcmpv4Error()', () => {
  test('writes net unreachable, golden', () => {
    const offender = ipv4Packet({ payload: hex('0102 0304 0506 0708'), tos: 0x12 });
    expect(Buffer.from(error(offender)).toString('hex')).toBe(
      Buffer.from(
        hex(`45d2 0038 1234 0000 4001 53bc 0a01 0000 0a01 0002
             0300 eceb 0000 0000
             4512 001c 0000 0000 4011 66b9 0a01 0002 0a02 0002
             0102 0304 0506 0708`),
      ).toString('hex'),
    );
  });

  test('writes time exceeded in transit', () => {
    expect([...error(ipv4Packet(), HOPS_EXCEEDED).subarray(20, 22)]).toEqual([11, 0]);
  });

  test('puts the MTU where RFC 1191 wants it', () => {
    const message = error(ipv4Packet(), tooBig(1472)).subarray(20, 28);
    expect([...message.subarray(0, 2), ...message.subarray(4)]).toEqual([3, 4, 0, 0, 1472 >> 8, 1472 & 255]);
  });

  test('quotes up to 576 bytes altogether', () => {
    const offender = ipv4Packet({ payload: new Uint8Array(1400).map((_, i) => i) });
    const message = error(offender);
    expect(message.length).toBe(576);
    expect(message.subarray(28)).toEqual(offender.subarray(0, 548));
  });

  test('quotes no padding after the packet', () => {
    const padded = new Uint8Array(100).fill(9);
    padded.set(ipv4Packet());
    expect(error(padded).length).toBe(28 + 28);
  });

  test('writes a packet with right checksums about any packet that deserves one', () => {
    const payload = fc.uint8Array({ maxLength: 1500 });
    fc.assert(
      fc.property(
        payload,
        fc.integer({ min: 0, max: 255 }),
        fc.integer({ min: 0, max: 10 }),
        (bytes, protocol, words) => {
          const offender = ipv4Packet({ payload: bytes, protocol, options: new Uint8Array(words * 4) });
          const message = error(offender);
          expect(message.length > 0).toBe(deservesIcmpv4Error(offender));
          if (message.length === 0) return;
          expect(checkHeader(message, message.length)).toBe(0);
          expect(internetChecksum(message, 20, message.length - 20)).toBe(0);
          expect(message.length).toBeLessThanOrEqual(576);
        },
      ),
    );
  });
});

describe('deservesIcmpv4Error()', () => {
  const icmp = (type: number): boolean => deservesIcmpv4Error(ipv4Packet({ protocol: 1, payload: icmpMessage(type) }));

  test('says no to ICMP errors and to unknown ICMP types', () => {
    for (const type of [3, 4, 5, 11, 12, 1, 2, 19, 255]) expect(icmp(type)).toBe(false);
  });

  test('says yes to ICMP queries', () => {
    for (const type of [0, 8, 13, 14, 17, 18]) expect(icmp(type)).toBe(true);
  });

  test('says no to ICMP without a type', () => {
    expect(deservesIcmpv4Error(ipv4Packet({ protocol: 1, payload: new Uint8Array() }))).toBe(false);
  });

  test('finds the ICMP type after options', () => {
    const options = new Uint8Array(4).fill(8);
    expect(deservesIcmpv4Error(ipv4Packet({ protocol: 1, options, payload: icmpMessage(3) }))).toBe(false);
  });

  test('says yes to a first fragment and no to the others', () => {
    expect(deservesIcmpv4Error(ipv4Packet({ moreFragments: true }))).toBe(true);
    expect(deservesIcmpv4Error(ipv4Packet({ moreFragments: true, fragmentOffset: 185 }))).toBe(false);
    expect(deservesIcmpv4Error(ipv4Packet({ fragmentOffset: 1 }))).toBe(false);
  });

  test('says no to multicast, broadcast and reserved destinations', () => {
    for (const to of ['224.0.0.1', '239.255.255.255', '240.0.0.1', '255.255.255.255']) {
      expect(deservesIcmpv4Error(ipv4Packet({ to }))).toBe(false);
    }
    expect(deservesIcmpv4Error(ipv4Packet({ to: '223.255.255.255' }))).toBe(true);
  });

  test('says no to a source that is no single host', () => {
    for (const from of ['0.0.0.0', '0.1.2.3', '127.0.0.1', '224.0.0.1', '255.255.255.255']) {
      expect(deservesIcmpv4Error(ipv4Packet({ from }))).toBe(false);
    }
  });
});
