import { formatLeaseSubnets, type Lease } from '@flannel-ts/flannel/lease';
import { parseIp } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import fc from 'fast-check';
import type { LeaseBatch } from './manager.ts';
import { createLeaseTable, type LeaseDelta } from './table.ts';

const lease = (n: number, node = n): Lease => ({
  subnet: parsePrefix(`10.5.${n}.0/24`),
  attributes: { publicIp: (parseIp('192.168.0.0') + node) as Ipv4, backendType: '' },
});
const names = ({ added, changed, removed }: LeaseDelta) => ({
  added: added.map(formatLeaseSubnets),
  changed: changed.map(({ after }) => formatLeaseSubnets(after)),
  removed: removed.map(formatLeaseSubnets),
});

test('apply() says what a snapshot and later changes add, change and remove', () => {
  const table = createLeaseTable();
  expect(names(table.apply({ kind: 'snapshot', leases: [lease(1), lease(2), lease(3)] }))).toEqual({
    added: ['10.5.1.0/24', '10.5.2.0/24', '10.5.3.0/24'],
    changed: [],
    removed: [],
  });
  expect(names(table.apply({ kind: 'snapshot', leases: [lease(1), lease(2, 9), lease(4)] }))).toEqual({
    added: ['10.5.4.0/24'],
    changed: ['10.5.2.0/24'],
    removed: ['10.5.3.0/24'],
  });
  const changes: LeaseBatch = { kind: 'changes', changed: [lease(1), lease(4, 8)], removed: [lease(2), lease(7)] };
  const delta = table.apply(changes);
  expect(names(delta)).toEqual({ added: [], changed: ['10.5.4.0/24'], removed: ['10.5.2.0/24'] });
  expect(delta.changed[0]).toEqual({ before: lease(4), after: lease(4, 8) });
  expect(delta.removed).toEqual([lease(2, 9)]);
  expect(names(table.apply(changes))).toEqual({ added: [], changed: [], removed: [] });
  expect(table.size).toBe(2);
  expect(table.get(lease(4))).toEqual(lease(4, 8));
});

test('whoever follows the deltas has the same leases as the table', () => {
  const some = fc.array(fc.tuple(fc.nat(7), fc.nat(3)), { maxLength: 6 }).map((pairs) => new Map(pairs));
  const batch: fc.Arbitrary<LeaseBatch> = fc.oneof(
    some.map((all): LeaseBatch => ({ kind: 'snapshot', leases: [...all].map(([n, node]) => lease(n, node)) })),
    fc.tuple(some, fc.uniqueArray(fc.nat(7))).map(
      ([all, gone]): LeaseBatch => ({
        kind: 'changes',
        changed: [...all].filter(([n]) => !gone.includes(n)).map(([n, node]) => lease(n, node)),
        removed: gone.map((n) => lease(n)),
      }),
    ),
  );
  fc.assert(
    fc.property(fc.array(batch), (batches) => {
      const table = createLeaseTable();
      const follower = new Map<string, Lease>();
      for (const each of batches) {
        const { added, changed, removed } = table.apply(each);
        for (const before of removed) expect(follower.delete(formatLeaseSubnets(before))).toBe(true);
        for (const after of added) {
          expect(follower.has(formatLeaseSubnets(after))).toBe(false);
          follower.set(formatLeaseSubnets(after), after);
        }
        for (const { before, after } of changed) {
          expect(follower.get(formatLeaseSubnets(before))).toEqual(before);
          follower.set(formatLeaseSubnets(after), after);
        }
        expect([...follower.values()].map((each) => [formatLeaseSubnets(each), each]).sort()).toEqual(
          [...table.values()].map((each) => [formatLeaseSubnets(each), each]).sort(),
        );
      }
    }),
  );
});
