import fc from 'fast-check';
import { fromHex, toHex } from '../testing/scripted-transport.ts';
import {
  attribute,
  attributeBe16,
  attributeFlag,
  attributeNested,
  attributeString,
  attributeU8,
  attributeU16,
  attributeU32,
  concatBytes,
  listAttributes,
  parseAttributes,
  readBe16,
  readNested,
  readS32,
  readString,
  readU8,
  readU16,
  readU32,
} from './attributes.ts';

describe('attributes', () => {
  test('attribute() pads to four bytes and leaves the padding out of its length', () => {
    expect(toHex(attributeU8(7, 0xff))).toBe('05000700ff000000');
    expect(toHex(attributeU16(1, 0x1234))).toBe('0600010034120000');
    expect(toHex(attributeBe16(15, 8472))).toBe('06000f0021180000');
    expect(toHex(attributeU32(4, 0xfffefdfc))).toBe('08000400fcfdfeff');
    expect(toHex(attributeFlag(23))).toBe('04001700');
  });

  test('attributeString() counts its NUL', () => {
    expect(toHex(attributeString(3, 'v0'))).toBe('0700030076300000');
    expect(toHex(attributeString(3, 'eth'))).toBe('0800030065746800');
  });

  test('attributeNested() marks the nest', () => {
    expect(toHex(attributeNested(12, [attributeU8(4, 1)]))).toBe('0c000c800500040001000000');
  });

  test('attribute() refuses what does not fit into the length field', () => {
    expect(() => attribute(1, new Uint8Array(0xfffc))).toThrow(
      'Cannot encode attribute 1: 65532 bytes do not fit into an attribute (EMSGSIZE)',
    );
  });

  test('parseAttributes() masks the flags of the type and keeps the last of equal types', () => {
    const attributes = parseAttributes(fromHex('05000780 01000000 05000700 02000000'));
    expect([...attributes.keys()]).toEqual([7]);
    expect(readU8(attributes, 7)).toBe(2);
  });

  test('parseAttributes() refuses a length that leaves the buffer or its own header', () => {
    expect(() => parseAttributes(fromHex('0900010000000000'))).toThrow(
      'Cannot read a netlink message: attribute at byte 0 has length 9, but 8 bytes are left (EBADMSG)',
    );
    expect(() => parseAttributes(fromHex('0300010000000000'))).toThrow('has length 3');
    expect(() => parseAttributes(fromHex('00000000'))).toThrow('has length 0');
  });

  test('parseAttributes() accepts a last attribute without padding, as the kernel may send', () => {
    expect(readU8(parseAttributes(fromHex('0500070009')), 7)).toBe(9);
  });

  test('readers answer undefined for what is absent or too short', () => {
    const attributes = parseAttributes(attributeU8(1, 9));
    expect(readU32(attributes, 1)).toBeUndefined();
    expect(readU16(attributes, 1)).toBeUndefined();
    expect(readBe16(attributes, 1)).toBeUndefined();
    expect(readS32(attributes, 2)).toBeUndefined();
    expect(readString(attributes, 2)).toBeUndefined();
    expect(readNested(attributes, 2).size).toBe(0);
  });

  test('every list of attributes survives encoding and parsing', () => {
    const pair = fc.record({ type: fc.integer({ min: 0, max: 0x3fff }), payload: fc.uint8Array({ maxLength: 70 }) });
    fc.assert(
      fc.property(fc.array(pair), (pairs) => {
        const bytes = concatBytes(pairs.map(({ type, payload }) => attribute(type, payload)));
        expect(bytes.length % 4).toBe(0);
        expect(listAttributes(bytes).map((a) => ({ ...a, payload: Uint8Array.from(a.payload) }))).toEqual(pairs);
      }),
    );
  });

  test('numbers and strings survive encoding and parsing', () => {
    fc.assert(
      fc.property(fc.nat(0xffff_ffff), fc.string({ unit: 'grapheme' }), (number, text) => {
        const clean = text.replaceAll('\0', '');
        const attributes = parseAttributes(
          concatBytes([
            attributeU32(1, number),
            attributeU16(2, number & 0xffff),
            attributeBe16(3, number & 0xffff),
            attributeNested(4, [attributeString(5, clean)]),
          ]),
        );
        expect(readU32(attributes, 1)).toBe(number);
        expect(readS32(attributes, 1)).toBe(number | 0);
        expect(readU16(attributes, 2)).toBe(number & 0xffff);
        expect(readBe16(attributes, 3)).toBe(number & 0xffff);
        expect(readString(readNested(attributes, 4), 5)).toBe(clean);
      }),
    );
  });

  test('parseAttributes() never reads outside of what it was given', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const within = new Uint8Array(bytes.length + 16).fill(0xff);
        within.set(bytes, 8);
        const view = within.subarray(8, 8 + bytes.length);
        let sum = 0;
        try {
          for (const { payload } of listAttributes(view)) sum += payload.length + 4;
        } catch (error) {
          expect(error).toMatchObject({ code: 'EBADMSG' });
        }
        expect(sum).toBeLessThanOrEqual(bytes.length);
      }),
    );
  });
});
