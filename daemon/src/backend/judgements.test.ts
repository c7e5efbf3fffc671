import type { Lease } from '@flannel-ts/flannel/lease';
import { parseIp } from '@flannel-ts/inet/ip';
import { type Prefix, parsePrefix } from '@flannel-ts/inet/prefix';
import fc from 'fast-check';
import { externalAt } from '../../testing/external.ts';
import { ownNodeAt } from '../../testing/own-node.ts';
import type { OwnNode } from './backend.ts';
import { Judgements } from './judgements.ts';
import { type PeerRules, selectPeers } from './peers.ts';

const NETWORK = parsePrefix('10.5.0.0/16');
const hosts = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.5.7.7'].map((text) => parseIp(text, 4));

const leases = [2, 3, 4, 5].flatMap((n) =>
  hosts.map(
    (publicIp): Lease => ({ subnet: parsePrefix(`10.5.${n}.0/24`), attributes: { publicIp, backendType: '' } }),
  ),
);

/** Values of which some are the same object each time, as they are while only leases change. */
const externals = [externalAt(['10.0.0.1']), externalAt(['10.0.0.2']), externalAt(['10.5.9.1'])];
const addresses = [[], [hosts[1]!]];
const ways = [new Map(), new Map([[hosts[1]!, 'eth0']]), new Map([[hosts[1]!, 'wg0']]), new Map([[hosts[2]!, 'eth0']])];
const base = ownNodeAt(['10.0.0.1'], ['10.5.1.0/24']);
const nodes = fc
  .record({
    external: fc.constantFrom(...externals),
    addresses: fc.constantFrom(...addresses),
    tunnelled: fc.constantFrom(...ways),
    direct: fc.constantFrom(...ways),
  })
  .map((more): OwnNode => ({ ...base, ...more }));

const rulesOf = ({ direct }: OwnNode): PeerRules<{ readonly subnet: Prefix; readonly way: string | undefined }> => ({
  outer: () => 4,
  read: (_, subnet, peer) => ({ data: { subnet, way: direct.get(peer) } }),
});

test('selectPeers() with a memory says what it says without one, whatever has changed since', () => {
  const step = fc.tuple(nodes, fc.subarray(leases));
  fc.assert(
    fc.property(fc.array(step, { minLength: 2 }), (steps) => {
      const memory = new Judgements<{ readonly subnet: Prefix; readonly way: string | undefined }>();
      for (const [node, some] of steps) {
        expect(selectPeers(node, [NETWORK], rulesOf(node), some, memory)).toEqual(
          selectPeers(node, [NETWORK], rulesOf(node), some),
        );
      }
    }),
  );
});

test('selectPeers() with a memory gives the same objects for the leases that stayed', () => {
  const node = ownNodeAt(['10.0.0.1'], ['10.5.1.0/24']);
  const memory = new Judgements<{ readonly subnet: Prefix; readonly way: string | undefined }>();
  const select = (some: readonly Lease[]) => selectPeers(node, [NETWORK], rulesOf(node), some, memory).peers;
  const [a, b, c] = [leases[1]!, leases[6]!, leases[9]!];
  const [before] = select([a, b]);
  const after = select([a, c]);
  expect(after).toHaveLength(2);
  expect(after[0]).toBe(before);
});
