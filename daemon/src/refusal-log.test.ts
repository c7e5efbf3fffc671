import { parseIp } from '@flannel-ts/inet/ip';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import type { RefusedLease } from './backend/backend.ts';
import { RefusalLog } from './refusal-log.ts';

const refused = (third: number): RefusedLease => ({
  lease: {
    subnet: parsePrefix(`10.5.${third}.0/24`, 4),
    attributes: { publicIp: parseIp('127.0.0.1', 4), backendType: '' },
  },
  reason: 'no address of a host',
});

test('a refused lease is told once, as long as it lasts', () => {
  const log = new RefusalLog();
  expect(log.lineFor([refused(1)], 0)).toBe('Refused the lease of 10.5.1.0/24: no address of a host');
  expect(log.lineFor([refused(1)], 1000)).toBeUndefined();
  expect(log.lineFor([refused(1), refused(2)], 2000)).toBe('Refused the lease of 10.5.2.0/24: no address of a host');
});

test('many at once are one line', () => {
  const line = new RefusalLog().lineFor(
    Array.from({ length: 200 }, (_, index) => refused(index)),
    0,
  );
  expect(line).toMatch(/^Refused the lease of 10\.5\.0\.0\/24: .*; and 197 more, which "flanneld status -json" lists$/);
});

test('leases that come and go all day write a handful of lines', () => {
  const log = new RefusalLog();
  let lines = 0;
  for (let now = 0; now < 86_400_000; now += 5000) {
    const third = (now / 5000) % 256;
    if (log.lineFor(third % 2 === 0 ? [refused(third)] : [], now) !== undefined) lines++;
  }
  expect(lines).toBe(10);
});
