import { encodeIfreq, ifreqName } from './ifreq.ts';

test('encodeIfreq() writes the name, NUL-padded to 16 bytes, and the flags after it', () => {
  const ifreq = encodeIfreq('tun%d', 0x1001);
  expect(ifreq).toHaveLength(40);
  expect([...ifreq.subarray(0, 6)]).toEqual([0x74, 0x75, 0x6e, 0x25, 0x64, 0]);
  expect([...ifreq.subarray(16, 18)]).toEqual([0x01, 0x10]);
});

test('ifreqName() reads back names up to 15 bytes', () => {
  expect(ifreqName(encodeIfreq('123456789012345', 0))).toBe('123456789012345');
});

test.each(['1234567890123456', 'a/b', 'a b', '.', '..', 'ééééééééé'])('encodeIfreq() refuses %p', (name) => {
  expect(() => encodeIfreq(name, 0)).toThrow(expect.objectContaining({ code: 'INVALID_NAME' }));
});
