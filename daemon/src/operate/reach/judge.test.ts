import { parseIp } from '@flannel-ts/inet/ip';
import { parsePort } from '@flannel-ts/inet/port';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import { judgePodPath, judgeReach } from './judge.ts';
import type { PeerReach } from './table.ts';

const reach = (n: number, more: Partial<PeerReach> = {}): PeerReach => ({
  subnet: parsePrefix(`10.5.${n}.0/24`),
  peer: parseIp(`10.64.0.${n}`),
  node: parseIp(`10.64.0.${n}`),
  silentMs: 100,
  answered: true,
  rttMs: 1,
  pathMtu: 'passes',
  pathLimit: undefined,
  ...more,
});
const judge = (...peers: PeerReach[]) =>
  judgeReach({
    peers,
    mtu: 1472,
    carriers: [{ outer: 4, protocol: 'udp', port: parsePort(8285), symmetric: true }],
    graceMs: 16_000,
  });

describe('judgeReach()', () => {
  test('a node that is reached by an address of each family is one node', () => {
    const silent = { silentMs: 60_000, answered: false };
    const other = (n: number, more: Partial<PeerReach>) => [
      reach(n, more),
      reach(n, { subnet: parsePrefix(`fd00:${n}::/64`), peer: parseIp(`2001:db8::${n}`), ...more }),
    ];
    expect(judge(...other(1, {}), ...other(2, silent)).notes[0]).toContain('1 of 2 other nodes does not answer');
    expect(judge(...other(2, silent)).trouble).toContain('the only other node, 10.5.2.0/24 at 10.64.0.2, fd00:2::/64');
  });

  test('a lone node, and one that is answered, are well', () => {
    expect(judge()).toEqual({ notes: [] });
    expect(judge(reach(1), reach(2))).toEqual({ notes: [] });
  });

  test('a node that nobody answers is in trouble, with what to do', () => {
    expect(judge(reach(1, { silentMs: 42_000 }), reach(2, { silentMs: 99_000, answered: false })).trouble).toBe(
      'none of 2 other nodes has answered through the overlay for 42 s: UDP port 8285 has to be open between the nodes, check firewalls, security groups and the route to 10.64.0.1',
    );
    expect(judge(reach(1, { silentMs: 17_000 })).trouble).toContain(
      'the only other node, 10.5.1.0/24 at 10.64.0.1, has not answered through the overlay for 17 s',
    );
  });

  test('a node waits a little for its first answer, and then only for one that comes late', () => {
    const fresh = { answered: false };
    expect(judge(reach(1, { ...fresh, silentMs: 2000 })).trouble).toContain(
      'waiting for the first answer of 1 other node',
    );
    expect(judge(reach(1, { ...fresh, silentMs: 5000 }))).toEqual({ notes: [] });
    expect(judge(reach(1, { ...fresh, silentMs: 2000 }), reach(2))).toEqual({ notes: [] });
  });

  test('a node that has only just become known does not make up for silent ones', () => {
    const fresh = reach(1, { answered: false, silentMs: 2000 });
    const silent = reach(2, { silentMs: 17_000 });
    expect(judge(fresh, silent).trouble).toContain('has not answered through the overlay for 17 s');
    expect(judge(reach(1), silent).trouble).toBeUndefined();
  });

  test('where questions cannot be sent, silence is no trouble, and the missing capability is named', () => {
    const peers = [reach(1, { answered: false, silentMs: 42_000 })];
    expect(judgeReach({ peers, mtu: 1472, carriers: [], graceMs: 16_000, blocked: 'socket: EPERM' })).toEqual({
      notes: [
        'whether other nodes can be reached is not known: socket: EPERM: give flanneld the capability CAP_NET_RAW',
      ],
    });
  });

  test('some silent peers are a note', () => {
    const silent = [2, 3, 4, 5].map((n) => reach(n, { silentMs: 20_000 }));
    expect(judge(reach(1), ...silent)).toEqual({
      notes: [
        '4 of 5 other nodes do not answer through the overlay: 10.5.2.0/24 at 10.64.0.2 for 20 s, 10.5.3.0/24 at 10.64.0.3 for 20 s, 10.5.4.0/24 at 10.64.0.4 for 20 s and 1 more',
      ],
    });
  });

  test('a node with a subnet of each family counts once', () => {
    const both = (n: number, more: Partial<PeerReach> = {}) => [
      reach(n, more),
      reach(n, { ...more, subnet: parsePrefix(`fd00:5:0:${n}::/64`) }),
    ];
    const silent = { silentMs: 20_000 };
    expect(judge(...both(1, silent)).trouble).toContain('the only other node, 10.5.1.0/24 at 10.64.0.1');
    expect(judge(...both(1, silent), ...both(2, silent)).trouble).toContain('none of 2 other nodes has answered');
    const [, ipv6Only] = both(1, silent);
    expect(judge(reach(1), ipv6Only!).notes).toEqual([
      '1 of 1 other node does not answer through the overlay: fd00:5:0:1::/64 at 10.64.0.1 for 20 s',
    ]);
  });

  test('a path that loses large packets is a note', () => {
    expect(judge(reach(1), reach(2, { pathMtu: 'lost' })).notes).toEqual([
      'packets of 1472 bytes get lost on the way to 10.5.2.0/24 at 10.64.0.2, smaller ones arrive: make the MTU of the interface, or of the path, the same on all nodes',
    ]);
  });
});

describe('judgePodPath()', () => {
  const silent = { silentMs: 42_000 };
  const judgePods = (host: PeerReach[], pod: PeerReach[]) =>
    judgePodPath({ host, pod, from: '10.5.9.254', graceMs: 16_000 });

  test('peers that answer the host and not a pod are the fault of this node', () => {
    expect(judgePods([reach(1), reach(2)], [reach(1, silent), reach(2, silent)]).trouble).toBe(
      'pods of this node reach nobody for 42 s: 2 other nodes answer this host and not its health endpoint 10.5.9.254: check firewall rules, forwarding and the bridge of this node',
    );
    expect(judgePods([reach(1), reach(2)], [reach(1), reach(2, silent)]).notes).toEqual([
      '1 of 2 nodes answer this host and not its health endpoint 10.5.9.254: 10.5.2.0/24 at 10.64.0.2 for 42 s',
    ]);
  });

  test('peers that do not answer the host say nothing of the path of pods', () => {
    expect(judgePods([reach(1, silent)], [reach(1, silent)])).toEqual({ notes: [] });
    expect(judgePods([reach(1)], [])).toEqual({ notes: [] });
    expect(judgePods([reach(1)], [reach(1)])).toEqual({ notes: [] });
  });
});
