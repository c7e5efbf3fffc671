import fc from 'fast-check';
import { Fast } from '../../../../../testing/engine/fast/pair.ts';
import { fold, internetChecksum } from '../checksum.ts';
import { REASONS, reasonOf } from '../reasons.ts';
import { isSegmentationBroken } from './abilities.ts';
import * as layout from './assembly/layout.ts';

test('the verdicts of the module are those of reasons.ts', () => {
  const { TOO_SHORT, NOT_IPV4, MALFORMED, BAD_CHECKSUM, NO_ROUTE, TTL_EXPIRED, TOO_BIG, TRUNCATED } = layout;
  const own = [TOO_SHORT, NOT_IPV4, MALFORMED, BAD_CHECKSUM, NO_ROUTE, TTL_EXPIRED, TOO_BIG, TRUNCATED];
  own.push(layout.UNKNOWN_PEER, layout.SPOOFED_SOURCE);
  expect(own.map(reasonOf)).toEqual(REASONS.slice(0, own.length));
  expect(reasonOf(layout.PLAN_FULL)).toBeUndefined();
});

test('the layout fits its memory, and every table starts on its alignment', () => {
  expect(layout.OWN_ADDRESS6 + 16).toBeLessThanOrEqual(layout.MEMORY_PAGES * 65536);
  const { MESSAGES, SEGMENTS, SEND_IOVECS, RECEIVE_MESSAGES, RECEIVE_IOVECS, ENTRIES, ENTRY_IOVECS, FLOWS } = layout;
  for (const at of [MESSAGES, SEGMENTS, SEND_IOVECS, RECEIVE_MESSAGES, RECEIVE_IOVECS, ENTRIES, ENTRY_IOVECS, FLOWS]) {
    expect(at % 8).toBe(0);
  }
});

test('sum() agrees with the plain checksum, at any place and length', () => {
  const { wasm } = new Fast().forwarder;
  const property = fc.property(fc.uint8Array({ maxLength: 3000 }), fc.integer({ min: 0, max: 70 }), (data, shift) => {
    const at = layout.ARENA + shift;
    wasm.bytes.set(data, at);
    const sum = Number(BigInt.asUintN(64, wasm.sum(at, data.length)) % 65535n);
    const swapped = ((sum & 255) << 8) | (sum >> 8);
    const expected = internetChecksum(data, 0, data.length);
    // 0 and 0xffff are the same number here.
    expect((fold(swapped) || 0xffff) % 65535).toBe((~expected & 0xffff) % 65535);
  });
  fc.assert(property, { numRuns: 200 });
});

test.each([
  ['6.18.44', false],
  ['7.0.0', true],
  ['7.0.9-generic', true],
  ['7.1.4', true],
  ['7.1.5', false],
  ['7.2.0', false],
])('isSegmentationBroken(%s) is %s', (kernel, broken) => {
  expect(isSegmentationBroken(kernel)).toBe(broken);
});
