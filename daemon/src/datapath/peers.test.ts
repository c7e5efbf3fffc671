import { parseIp } from '@flannel-ts/inet/ip';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import type { OverlayPeer } from './datapath.ts';
import { changePeers, diffPeers, peersOf } from './peers.ts';

const peer = (subnet: string, address: string): OverlayPeer => ({
  subnet: subnet.includes(':') ? parsePrefix(subnet) : parsePrefix(subnet),
  peer: parseIp(address),
});
const before = [peer('10.5.1.0/24', '10.0.0.1'), peer('10.5.2.0/24', '10.0.0.2'), peer('fd00::/64', '10.0.0.2')];

test('peersOf() lets the last one hold of equal subnets', () => {
  expect([...peersOf([...before, peer('10.5.1.0/24', '10.0.0.9')]).values()]).toEqual([
    peer('10.5.1.0/24', '10.0.0.9'),
    ...before.slice(1),
  ]);
});

test('diffPeers() has only what is new, reached elsewhere or gone', () => {
  const after = [before[0]!, peer('10.5.2.0/24', '10.0.0.7'), peer('10.5.2.0/25', '10.0.0.2')];
  const change = diffPeers(peersOf(before), peersOf(after));
  expect(change).toEqual({ set: after.slice(1), removed: [before[2]!.subnet] });
  expect(diffPeers(peersOf(before), peersOf([...before].reverse()))).toBeUndefined();
});

test('changePeers() after diffPeers() leads from one set to the other', () => {
  const peers = peersOf(before);
  const after = peersOf([peer('::/32', '2001:db8::1'), peer('0.0.0.0/32', '10.0.0.3'), before[1]!]);
  changePeers(peers, diffPeers(peers, after)!);
  expect(peers).toEqual(after);
});
