import { ipToBytes, parseIp } from '@flannel-ts/inet/ip';
import { ipv4Packet } from '../../../../testing/engine/packets.ts';
import { ipv6Packet } from '../../../../testing/engine/packets6.ts';
import { IcmpWriter, MAX_ERROR, RateLimit } from './icmp.ts';
import { HOPS_EXCEEDED, NO_ROUTE_ERROR, plateauBelow, tooBig } from './router-error.ts';

describe('IcmpWriter', () => {
  const own = { tunAddress: parseIp('10.1.0.0'), tunAddress6: ipToBytes(parseIp('fd00:0:0:1::')) };
  const out = new Uint8Array(MAX_ERROR);

  test('says the same in the words of either family', () => {
    const writer = new IcmpWriter(
      own,
      () => 0,
      () => {},
    );
    const said = (packet: Uint8Array, at: number) =>
      [NO_ROUTE_ERROR, HOPS_EXCEEDED, tooBig(1400), tooBig(1000)].map((error) => {
        expect(writer.write(out, packet, error)).toBeGreaterThan(0);
        return [out[at], out[at + 1], new DataView(out.buffer).getUint32(at + 4)];
      });
    const ipv4 = [
      [3, 0, 0],
      [11, 0, 0],
      [3, 4, 1400],
      [3, 4, 1000],
    ];
    const ipv6 = [
      [1, 0, 0],
      [3, 0, 0],
      [2, 0, 1400],
      [2, 0, 1280],
    ];
    expect(said(ipv4Packet(), 20)).toEqual(ipv4);
    expect(said(ipv6Packet(), 40)).toEqual(ipv6);
  });

  test('says nothing in a family that has no address to say it from', () => {
    const writer = new IcmpWriter(
      { tunAddress: undefined, tunAddress6: undefined },
      () => 0,
      () => {},
    );
    expect([ipv4Packet(), ipv6Packet()].map((packet) => writer.write(out, packet, NO_ROUTE_ERROR))).toEqual([0, 0]);
  });

  test('says nothing above the limit, and that it does not', () => {
    let suppressed = 0;
    const writer = new IcmpWriter(
      own,
      () => 0,
      () => void suppressed++,
    );
    const lengths = Array.from({ length: 60 }, () => writer.write(out, ipv4Packet(), NO_ROUTE_ERROR));
    expect([lengths.filter((length) => length > 0).length, suppressed]).toEqual([50, 10]);
  });
});

describe('plateauBelow()', () => {
  test('gives the next smaller MTU of RFC 1191, never less than 68', () => {
    expect([plateauBelow(1500), plateauBelow(1492), plateauBelow(1473), plateauBelow(60)]).toEqual([
      1492, 1006, 1006, 68,
    ]);
  });
});

describe('RateLimit', () => {
  test('allow() allows a burst, then the rate', () => {
    const limit = new RateLimit(10, 3, 0);
    expect([0, 0, 0, 0].map((now) => limit.allow(now))).toEqual([true, true, true, false]);
    expect([99, 100, 150, 200].map((now) => limit.allow(now))).toEqual([false, true, false, true]);
  });

  test('allow() saves no more than a burst', () => {
    const limit = new RateLimit(10, 2, 0);
    expect([1e9, 1e9, 1e9].map((now) => limit.allow(now))).toEqual([true, true, false]);
  });

  test('allow() survives a clock that goes back', () => {
    const limit = new RateLimit(10, 1, 1000);
    expect([limit.allow(1000), limit.allow(0), limit.allow(100)]).toEqual([true, false, true]);
  });
});
