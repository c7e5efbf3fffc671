import { parseIp } from '@flannel-ts/inet/ip';
import { parseMac } from '@flannel-ts/inet/mac';
import { gratuitousArp, neighbourAdvertisement } from './announce.ts';

const mac = parseMac('0a:58:0a:f4:01:02');
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test('gratuitousArp() asks everybody for the own address (RFC 5227)', () => {
  expect(hex(gratuitousArp(mac, parseIp('10.244.1.2')))).toBe(
    'ffffffffffff0a580af40102' + '0806' + '0001080006040001' + '0a580af401020af40102' + '0000000000000af40102',
  );
});

test('neighbourAdvertisement() is unsolicited and overrides (RFC 4861); its checksum is right', () => {
  const frame = neighbourAdvertisement(mac, parseIp('fd00:10:0:1::2'));
  const own = 'fd000010000000010000000000000002';
  const all = 'ff020000000000000000000000000001';
  expect(hex(frame).slice(0, 28)).toBe('3333000000010a580af4010286dd');
  expect(hex(frame).slice(28, 108)).toBe(`6000000000203aff${own}${all}`);
  expect(hex(frame).slice(108)).toMatch(new RegExp(`^8800....20000000${own}02010a580af40102$`));
  // The sum over pseudo-header and message is all ones.
  const words = Buffer.concat([frame.subarray(22, 54), Buffer.from([0, 0, 0, 32, 0, 0, 0, 58]), frame.subarray(54)]);
  let sum = 0;
  for (let i = 0; i < words.length; i += 2) sum += words.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  expect(sum).toBe(0xffff);
});
