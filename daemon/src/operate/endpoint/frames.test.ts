import { formatIp, ipToBytes, parseIp } from '@flannel-ts/inet/ip';
import { macToBytes, parseMac } from '@flannel-ts/inet/mac';
import { checksum, decodeAnswer, encodeRequest } from '../reach/echo.ts';
import { encodeFrame, hear, type Station } from './frames.ts';

const BRIDGE = parseMac('0a:58:0a:05:01:01');
const V4 = parseIp('10.5.1.254', 4);
const V6 = parseIp('fd00:5:0:1:ffff:ffff:ffff:ffff', 6);
const FAR4 = parseIp('10.5.2.0', 4);
const FAR6 = parseIp('fd00:5:0:2::', 6);
const station: Station = { mac: parseMac('02:66:0a:05:01:00'), addresses: [V4, V6] };
const echo = { id: 0x1234, sequence: 7 };

/** What the station does with it, which a real host at the other end would have to accept. */
const answerTo = (frame: Uint8Array): Uint8Array => {
  const heard = hear(frame, station);
  if (heard?.kind !== 'answer') throw new Error(`no answer but ${JSON.stringify(heard)}`);
  return heard.frame;
};
const ethernet = (type: number, ...rest: number[]) =>
  Uint8Array.from([...macToBytes(station.mac), ...macToBytes(BRIDGE), type >> 8, type & 255, ...rest]);

describe('an echo request from afar', () => {
  test.each([
    [4, FAR4, V4],
    [6, FAR6, V6],
  ] as const)('is answered over IPv%d to the one who asked', (family, far, own) => {
    const request = encodeFrame(BRIDGE, station.mac, far, own, encodeRequest(family, echo, 64));
    const asker: Station = { mac: BRIDGE, addresses: [far] };
    const heard = hear(answerTo(request), asker);
    if (heard?.kind !== 'message') throw new Error('the answer does not arrive');
    expect(decodeAnswer(family, heard.bytes)).toEqual({ ...echo, unreachable: false });
    expect(formatIp(heard.from)).toBe(formatIp(own));
  });

  test('for another address, in fragments or cut off, is not', () => {
    const frame = (to = V4) => encodeFrame(BRIDGE, station.mac, FAR4, to, encodeRequest(4, echo, 64));
    expect(hear(frame(parseIp('10.5.1.7', 4)), station)).toBeUndefined();
    const fragment = frame();
    fragment[14 + 6] = 0x20;
    expect(hear(fragment, station)).toBeUndefined();
    for (let length = 0; length < frame().length; length++) {
      expect(hear(frame().subarray(0, length), station)).toBeUndefined();
    }
  });
});

test.each([
  [4, FAR4, V4],
  [6, FAR6, V6],
] as const)('frames over IPv%d have checksums that are right', (family, target, source) => {
  const frame = encodeFrame(station.mac, BRIDGE, source, target, encodeRequest(family, echo, 65));
  const packet = frame.subarray(14);
  if (family === 4) {
    expect([checksum(packet.subarray(0, 20)), checksum(packet.subarray(20))]).toEqual([0, 0]);
  } else {
    const message = packet.subarray(40);
    const pseudo = [...packet.subarray(8, 40), 0, 0, 0, message.length, 0, 0, 0, 58];
    expect(checksum(Uint8Array.from([...pseudo, ...message]))).toBe(0);
  }
});

test('an answer comes without what fills up a short frame', () => {
  const frame = encodeFrame(BRIDGE, station.mac, FAR4, V4, encodeRequest(4, echo, 28));
  const heard = hear(Uint8Array.from([...frame, 9, 9, 9, 9]), station);
  expect(answerTo(Uint8Array.from([...frame, 9, 9, 9, 9]))).toHaveLength(frame.length);
  expect(heard?.kind).toBe('answer');
});

test('ARP requests for the address are answered, others are not', () => {
  const request = (target: string, operation = 1) =>
    ethernet(
      0x0806,
      ...[0, 1, 8, 0, 6, 4, 0, operation],
      ...macToBytes(BRIDGE),
      ...ipToBytes(parseIp('10.5.1.1', 4)),
      ...[0, 0, 0, 0, 0, 0],
      ...ipToBytes(parseIp(target, 4)),
    );
  const reply = answerTo(request('10.5.1.254'));
  expect([...reply]).toEqual([
    ...macToBytes(BRIDGE),
    ...macToBytes(station.mac),
    ...[8, 6, 0, 1, 8, 0, 6, 4, 0, 2],
    ...macToBytes(station.mac),
    ...ipToBytes(V4),
    ...macToBytes(BRIDGE),
    ...ipToBytes(parseIp('10.5.1.1', 4)),
  ]);
  expect(hear(request('10.5.1.253'), station)).toBeUndefined();
  expect(hear(request('10.5.1.254', 2), station)).toBeUndefined();
});

test('neighbour solicitations for the address are answered, and not those from behind a router', () => {
  const asker = parseIp('fe80::1', 6);
  const solicitation = (target: typeof V6, hopLimit = 255) => {
    const message = new Uint8Array(32);
    message[0] = 135;
    message.set(ipToBytes(target), 8);
    message.set([1, 1, ...macToBytes(BRIDGE)], 24);
    const frame = encodeFrame(BRIDGE, station.mac, asker, parseIp('ff02::1:ffff:ffff', 6), message);
    frame[14 + 7] = hopLimit;
    return frame;
  };
  const advertisement = answerTo(solicitation(V6)).subarray(14 + 40);
  expect([advertisement[0], advertisement[4]]).toEqual([136, 0x60]);
  expect([...advertisement.subarray(8)]).toEqual([...ipToBytes(V6), 2, 1, ...macToBytes(station.mac)]);
  expect(hear(solicitation(FAR6), station)).toBeUndefined();
  expect(hear(solicitation(V6, 64), station)).toBeUndefined();
});

test('anything at all is heard without a fault', () => {
  for (const type of [0x0806, 0x0800, 0x86dd, 0x8100]) {
    for (let length = 0; length < 80; length++) {
      for (const byte of [0x00, 0x45, 0x60, 0xff]) {
        expect(hear(ethernet(type, ...new Array<number>(length).fill(byte)), station)).toBeUndefined();
      }
    }
  }
});
