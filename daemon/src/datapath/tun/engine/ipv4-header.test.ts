import { parseIp } from '@flannel-ts/inet/ip';
import fc from 'fast-check';
import { hex, ipv4Packet, sealed } from '../../../../testing/engine/packets.ts';
import { internetChecksum } from './checksum.ts';
import {
  checkHeader,
  decrementTimeToLive,
  destination,
  dontFragment,
  fragmentOffset,
  headerLength,
  protocol,
  putWord,
  source,
  timeToLive,
  totalLength,
} from './ipv4-header.ts';
import { BAD_CHECKSUM, MALFORMED, NOT_IPV4, PASS, TOO_SHORT } from './reasons.ts';

const check = (packet: Uint8Array): number => checkHeader(packet, packet.length);

describe('checkHeader()', () => {
  test('passes a known header', () => {
    const header = hex('4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7');
    const packet = new Uint8Array(0x73);
    packet.set(header);
    expect(check(packet)).toBe(PASS);
  });

  test('passes a packet with options and a packet of its header only', () => {
    expect(check(ipv4Packet({ options: new Uint8Array(40) }))).toBe(PASS);
    expect(check(ipv4Packet({ payload: new Uint8Array() }))).toBe(PASS);
  });

  test('refuses less than a header', () => {
    for (const length of [0, 1, 19]) expect(checkHeader(ipv4Packet(), length)).toBe(TOO_SHORT);
  });

  test('refuses IPv6 and nonsense versions', () => {
    const packet = ipv4Packet();
    for (const version of [0, 3, 5, 6, 15]) {
      packet[0] = (version << 4) | 5;
      expect(check(packet)).toBe(NOT_IPV4);
    }
  });

  test('refuses a header length below 5 words or above the total length', () => {
    const packet = ipv4Packet({ payload: new Uint8Array() });
    for (const words of [0, 4, 6, 15]) {
      packet[0] = 0x40 | words;
      expect(check(sealed(packet))).toBe(MALFORMED);
    }
  });

  test('refuses a total length below the header or above what came', () => {
    for (const length of [0, 19, 29, 65535]) {
      const packet = ipv4Packet();
      putWord(packet, 2, length);
      expect(check(sealed(packet))).toBe(MALFORMED);
    }
  });

  test('passes bytes after the packet', () => {
    const packet = ipv4Packet();
    const padded = new Uint8Array(packet.length + 18);
    padded.set(packet);
    expect(check(padded)).toBe(PASS);
  });

  test('refuses any single flipped bit of the header', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 20 * 8 - 1 }), (bit) => {
        const packet = ipv4Packet({ payload: new Uint8Array(100) });
        packet[bit >> 3]! ^= 1 << (bit & 7);
        expect([BAD_CHECKSUM, MALFORMED, NOT_IPV4]).toContain(check(packet));
      }),
      { numRuns: 300 },
    );
  });

  test('answers on any bytes and never throws', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => check(bytes) <= PASS));
  });
});

describe('header fields', () => {
  test('are those that the packet was built from', () => {
    const packet = ipv4Packet({
      from: '192.0.2.1',
      to: '255.255.255.254',
      ttl: 255,
      protocol: 6,
      dontFragment: true,
      fragmentOffset: 0x1fff,
      options: new Uint8Array(8),
    });
    expect(source(packet)).toBe(parseIp('192.0.2.1'));
    expect(destination(packet)).toBe(parseIp('255.255.255.254'));
    expect(timeToLive(packet)).toBe(255);
    expect(protocol(packet)).toBe(6);
    expect(dontFragment(packet)).toBe(true);
    expect(fragmentOffset(packet)).toBe(0x1fff);
    expect(headerLength(packet)).toBe(28);
    expect(totalLength(packet)).toBe(36);
  });
});

describe('decrementTimeToLive()', () => {
  test('takes one from the TTL and leaves a right checksum, for any header', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 20, maxLength: 20 }), fc.integer({ min: 1, max: 255 }), (header, ttl) => {
        header[0] = 0x45;
        header[8] = ttl;
        sealed(header);
        const rest = [...header.slice(0, 8), ...header.slice(12)];
        decrementTimeToLive(header);
        expect(header[8]).toBe(ttl - 1);
        expect(internetChecksum(header, 0, 20)).toBe(0);
        expect([...header.slice(0, 8), ...header.slice(12)]).toEqual(rest);
      }),
    );
  });

  test('is right where the checksum carries around', () => {
    for (const checksum of [0xfeff, 0xff00, 0xfefe, 0xffff - 0x100]) {
      const header = hex('4500 0014 0000 0000 4011 0000 0a01 0002 0a02 0002');
      // Choose the identification so that the checksum comes out as wanted.
      putWord(header, 4, (internetChecksum(header, 0, 20) - checksum + 0x1fffe) % 0xffff);
      sealed(header);
      expect((header[10]! << 8) | header[11]!).toBe(checksum);
      decrementTimeToLive(header);
      expect(internetChecksum(header, 0, 20)).toBe(0);
    }
  });
});
