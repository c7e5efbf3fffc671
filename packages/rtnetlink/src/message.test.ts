import fc from 'fast-check';
import { fromHex, toHex } from '../testing/scripted-transport.ts';
import {
  encodeMessage,
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLMSG_DONE,
  NLMSG_ERROR,
  parseAcknowledgement,
  parseMessages,
} from './message.ts';

const message = { type: 16, flags: 5, seq: 6, pid: 0, payload: fromHex('01020304') };

describe('messages', () => {
  test('encodeMessage() writes struct nlmsghdr in front of the payload', () => {
    expect(toHex(encodeMessage(message))).toBe('14000000 1000 0500 06000000 00000000 01020304'.replaceAll(' ', ''));
  });

  test('encodeMessage() pads, without counting the padding', () => {
    const bytes = encodeMessage({ ...message, payload: fromHex('0102030405') });
    expect(bytes.length).toBe(24);
    expect(bytes[0]).toBe(21);
  });

  test('parseMessages() refuses lengths that leave the datagram, and trailing bytes', () => {
    expect(() => parseMessages(fromHex('15000000 1000 0500 06000000 00000000 01020304'))).toThrow(
      'Cannot read a netlink message: message at byte 0 has length 21, but 20 bytes are left (EBADMSG)',
    );
    expect(() => parseMessages(fromHex('0f000000 1000 0500 06000000 00000000'))).toThrow('has length 15');
    expect(() => parseMessages(fromHex('10000000 1000 0500 06000000 00000000 0102'))).toThrow('2 bytes at the end');
    expect(parseMessages(new Uint8Array(0))).toEqual([]);
  });

  test('every list of messages survives encoding and parsing', () => {
    const one = fc.record({
      type: fc.nat(0xffff),
      flags: fc.nat(0xffff),
      seq: fc.nat(0xffff_ffff),
      pid: fc.nat(0xffff_ffff),
      payload: fc.uint8Array({ maxLength: 40 }),
    });
    fc.assert(
      fc.property(fc.array(one, { maxLength: 5 }), (messages) => {
        const bytes = Uint8Array.from(messages.flatMap((m) => [...encodeMessage(m)]));
        expect(parseMessages(bytes).map((m) => ({ ...m, payload: Uint8Array.from(m.payload) }))).toEqual(messages);
      }),
    );
  });

  test('parseMessages() never fails otherwise than with EBADMSG', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        try {
          for (const each of parseMessages(bytes)) if (each.type === NLMSG_ERROR) parseAcknowledgement(each);
        } catch (error) {
          expect(error).toMatchObject({ code: 'EBADMSG' });
        }
      }),
    );
  });
});

describe('parseAcknowledgement()', () => {
  const ack = (flags: number, hex: string, type = NLMSG_ERROR) =>
    parseAcknowledgement({ type, flags, seq: 1, pid: 1, payload: fromHex(hex) });

  test('reads success', () => {
    expect(ack(NLM_F_CAPPED, '00000000 68000000 1000 0506 03000000 00000000').errno).toBe(0);
  });

  test('reads an error with the text of the kernel (as Linux 6.18 sent it)', () => {
    const [refused] = parseMessages(
      fromHex(`44000000 0200 0003 0d000000 907e0000
        9bffffff 3c000000 1800 0506 0d000000 00000000
        2000 0100 4e657874686f702068617320696e76616c6964206761746577617900`),
    );
    expect(parseAcknowledgement(refused!)).toEqual({
      errno: 101,
      text: 'Nexthop has invalid gateway',
      badOffset: undefined,
      missingType: undefined,
    });
  });

  test('skips the echoed request when it is whole', () => {
    const echoed = '14000000 1800 0506 0d000000 00000000 01020304';
    const answer = ack(NLM_F_ACK_TLVS, `eaffffff ${echoed} 0700 0100 6e6f0000 0800 0200 10000000 0800 0500 04000000`);
    expect(answer).toEqual({ errno: 22, text: 'no', badOffset: 16, missingType: 4 });
  });

  test('reads the error and the text at the end of a dump', () => {
    expect(ack(NLM_F_ACK_TLVS, 'edffffff 0700 0100 6e6f0000', NLMSG_DONE)).toMatchObject({ errno: 19, text: 'no' });
    expect(ack(0, '00000000', NLMSG_DONE)).toMatchObject({ errno: 0, text: undefined });
    expect(ack(0, '', NLMSG_DONE)).toMatchObject({ errno: 0 });
  });

  test('refuses an error without a number', () => {
    expect(() => ack(0, '0000')).toThrow('acknowledgement has 2 bytes instead of at least 4');
  });
});
