import { formatLeaseValue } from '@flannel-ts/flannel/lease';
import type { Ip } from '@flannel-ts/inet/ip';
import { parseIp } from '@flannel-ts/inet/ip';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import fc from 'fast-check';
import { decide, isAsLeft, type KeyFacts } from './decide.ts';

const addresses = ['192.168.0.1', '192.168.0.2', '192.168.0.9'] as const;
const attributes = (address: string) => ({ publicIp: parseIp(address) as Ip<4>, backendType: '' });
const anyAttributes = fc.constantFrom(...addresses).map(attributes);

/** Every state of a key and of what is known of it. */
const facts: fc.Arbitrary<KeyFacts> = fc
  .record({
    before: anyAttributes,
    wanted: anyAttributes,
    present: fc.option(
      fc.record({
        node: fc.option(anyAttributes),
        revision: fc.constantFrom('5', '6'),
        lease: fc.constantFrom('0', '7', '8'),
      }),
    ),
    heldLease: fc.constantFrom('0', '7'),
    uncertain: fc.boolean(),
    confirmed: fc.boolean(),
  })
  .map(({ before, wanted, present, heldLease, uncertain, confirmed }) => ({
    held: {
      lease: { subnet: parsePrefix('10.5.1.0/24', 4), attributes: before },
      key: 'k',
      modRevision: '5',
      leaseId: heldLease,
      term: undefined,
    },
    wanted,
    wantedValue: formatLeaseValue(wanted),
    present: present
      ? {
          key: 'k',
          value: present.node ? formatLeaseValue(present.node) : 'garbage',
          modRevision: present.revision,
          leaseId: present.lease,
        }
      : undefined,
    node: present?.node ?? undefined,
    ownLeaseIds: new Set(confirmed && heldLease !== '0' ? [heldLease] : []),
    uncertain,
    confirmed,
  }));

const isForeign = ({ held, wanted, present, node }: KeyFacts): boolean =>
  present !== undefined &&
  node !== undefined &&
  node.publicIp !== wanted.publicIp &&
  node.publicIp !== held.lease.attributes.publicIp;

test('decide() never writes over a key that another node has, with another address and another etcd lease', () => {
  fc.assert(
    fc.property(facts.filter(isForeign), (each) => {
      fc.pre(!each.ownLeaseIds.has(each.present!.leaseId));
      expect(decide(each)).toEqual({ kind: 'yield' });
    }),
  );
});

test('decide() after a start without etcd trusts a changed key only with the present address', () => {
  fc.assert(
    fc.property(facts, (each) => {
      const { confirmed, present, held, node } = each;
      fc.pre(!confirmed && present !== undefined && !isAsLeft(held, present, node));
      fc.pre(node?.publicIp !== each.wanted.publicIp);
      expect(decide(each)).toEqual({ kind: 'yield' });
    }),
  );
});

test('decide() attributes an older revision with its own address to a restored snapshot, not to another node', () => {
  fc.assert(
    fc.property(facts, (each) => {
      fc.pre(each.node?.publicIp === each.wanted.publicIp);
      const restored = { ...each, present: { ...each.present!, modRevision: '4' } };
      expect(['adopt', 'publish']).toContain(decide(restored).kind);
    }),
  );
});

test('decide() keeps a key only when it says what it should', () => {
  fc.assert(
    fc.property(facts, (each) => {
      const { kind } = decide(each);
      if (kind === 'keep' || kind === 'adopt') expect(each.present?.value).toBe(each.wantedValue);
      if (kind === 'create') expect(each.present).toBeUndefined();
    }),
  );
});

test('decide() never gives up a key that nobody has changed, and writes a lost one again', () => {
  fc.assert(
    fc.property(facts, (each) => {
      const { present, held, node } = each;
      fc.pre(present === undefined || isAsLeft(held, present, node));
      expect(['keep', 'publish', 'create']).toContain(decide(each).kind);
    }),
  );
});
