import { parseBackendConfig } from '@flannel-ts/flannel/backend-config';
import { backendNeeds } from '@flannel-ts/flannel/backend-needs';
import { parseIp } from '@flannel-ts/inet/ip';
import { readChains } from '@flannel-ts/nft/listing';
import { type InputQuestion, judgeInput } from './input.ts';
import { hasHiddenMatches, readIptablesSave, reveal } from './iptables.ts';
import type { PlacedTables } from './place.ts';

const question = (backend: object, addresses: InputQuestion['addresses'] = { 4: parseIp('10.64.0.16', 4) }) => ({
  carriers: backendNeeds(parseBackendConfig(backend), [4, 6]).carriers,
  interface: 'eth0',
  addresses,
});
const filter = (rules: string, place: 'nft' | 'legacy' = 'nft'): PlacedTables[] => [
  { place, tables: readIptablesSave('ip', `*filter\n${rules.trim()}\nCOMMIT\n`) },
];
const vxlan = question({ Type: 'vxlan' });
const udp = question({ Type: 'udp' });
const ipip = question({ Type: 'ipip' });

/** Its chains, shortened (ufw 0.36.1). */
const UFW = `
:INPUT DROP [0:0]
:ufw-before-input - [0:0]
:ufw-not-local - [0:0]
:ufw-user-input - [0:0]
-A INPUT -j ufw-before-input
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -m conntrack --ctstate INVALID -j DROP
-A ufw-before-input -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A ufw-before-input -p udp -m udp --sport 67 --dport 68 -j ACCEPT
-A ufw-before-input -j ufw-not-local
-A ufw-before-input -d 224.0.0.251/32 -p udp -m udp --dport 5353 -j ACCEPT
-A ufw-before-input -j ufw-user-input
-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
-A ufw-not-local -m limit --limit 3/min --limit-burst 10 -j LOG
-A ufw-not-local -j DROP
-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT
-A ufw-user-input -p tcp -m multiport --dports 8000:9000 -j ACCEPT`;

describe('judgeInput()', () => {
  test.each([
    ['a policy alone', ':INPUT DROP [0:0]'],
    ['ufw', UFW],
    ['another port', ':INPUT DROP [0:0]\n-A INPUT -p udp -m udp --dport 8473:8480 -j ACCEPT'],
    ['a rule against the port', ':INPUT ACCEPT [0:0]\n-A INPUT -p udp -m udp --dport 8472 -j REJECT'],
    ['another interface', ':INPUT DROP [0:0]\n-A INPUT -i eth1 -j ACCEPT'],
  ])('finds that vxlan is dropped by %s', (_, rules) => {
    expect(judgeInput(filter(rules), vxlan)).toMatchObject({ troubles: [expect.stringContaining('UDP port 8472')] });
  });

  test.each([
    ['an open policy', ':INPUT ACCEPT [0:0]\n-A INPUT -p udp -m udp --dport 8473 -j DROP'],
    ['the port', ':INPUT DROP [0:0]\n-A INPUT -p udp -m udp --dport 8472 -j ACCEPT'],
    ['one of several ports', ':INPUT DROP [0:0]\n-A INPUT -p udp -m multiport --dports 53,8470:8480 -j ACCEPT'],
    ['ufw with the port', `${UFW}\n-A ufw-user-input -p udp -m udp --dport 8472 -j ACCEPT`],
    ['the protocol', ':INPUT DROP [0:0]\n-A INPUT ! -p tcp -j ACCEPT'],
    ['the interface', ':INPUT DROP [0:0]\n-A INPUT -i eth+ -j ACCEPT'],
    ['nodes whose addresses are not known here', ':INPUT DROP [0:0]\n-A INPUT -s 10.64.0.0/19 -j ACCEPT'],
  ])('finds nothing where %s is let in', (_, rules) => {
    expect(judgeInput(filter(rules), vxlan)).toEqual({ troubles: [], doubts: [] });
  });

  test('names who drops, and the command of the firewall at hand', () => {
    const sentences = (rules: string, asked: InputQuestion, place?: 'legacy') =>
      judgeInput(filter(rules, place), asked).troubles;
    expect(sentences(UFW, vxlan)).toEqual([
      'nftables table ip filter, chain INPUT drops packets of other nodes (UDP port 8472; policy drop): let it accept them, with "ufw allow 8472/udp"',
    ]);
    expect(sentences(':INPUT DROP [0:0]', vxlan, 'legacy')).toEqual([
      'iptables-legacy, chain INPUT drops packets of other nodes (UDP port 8472; policy drop): let it accept them, with "iptables-legacy -I INPUT -p udp --dport 8472 -j ACCEPT"',
    ]);
    expect(sentences(':INPUT ACCEPT [0:0]\n-A INPUT ! -p tcp -j DROP', ipip)).toEqual([
      'nftables table ip filter, chain INPUT drops packets of other nodes (IP protocol 4 (IPIP); drop in chain INPUT): let it accept them, with "iptables -I INPUT -p 4 -j ACCEPT"',
    ]);
  });

  test('names who drops what this node sends', () => {
    const rules = ':INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -o eth0 -p udp -m udp --dport 8472 -j DROP';
    expect(judgeInput(filter(rules), vxlan)).toEqual({
      troubles: [
        'nftables table ip filter, chain OUTPUT drops packets to other nodes (UDP port 8472; drop in chain OUTPUT): let it accept them, with "iptables -I OUTPUT -p udp --dport 8472 -j ACCEPT"',
      ],
      doubts: [],
    });
    expect(judgeInput(filter(rules.replace('8472', '53')), vxlan).troubles).toEqual([]);
    expect(judgeInput(filter(rules.replace('-o eth0', '-o eth1')), vxlan).troubles).toEqual([]);
    expect(judgeInput(filter(':OUTPUT DROP [0:0]'), vxlan).troubles).toHaveLength(1);
  });

  test('answers of a symmetric backend pass where established connections do', () => {
    const established = ':INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT';
    expect(judgeInput(filter(established), udp)).toEqual({
      troubles: [],
      doubts: [
        'nftables table ip filter, chain INPUT drops packets of other nodes that answer none of this node (UDP port 8285; policy drop): let it accept them, with "iptables -I INPUT -p udp --dport 8285 -j ACCEPT"',
      ],
    });
    expect(judgeInput(filter(':INPUT DROP [0:0]'), udp)).toMatchObject({ troubles: [expect.anything()], doubts: [] });
  });

  test('IP protocol 4 by name and number', () => {
    for (const name of ['ipencap', '4']) {
      expect(judgeInput(filter(`:INPUT DROP [0:0]\n-A INPUT -p ${name} -j ACCEPT`), ipip).troubles).toEqual([]);
    }
    expect(judgeInput(filter(':INPUT DROP [0:0]\n-A INPUT -p udp -j ACCEPT'), ipip).troubles).toHaveLength(1);
  });

  test('only families that have an address, and nothing where packets travel as they are', () => {
    const both = { 4: parseIp('10.64.0.16', 4), 6: parseIp('fd00::1', 6) };
    const tables: PlacedTables[] = [{ place: 'nft', tables: readIptablesSave('ip6', '*filter\n:INPUT DROP [0:0]\n') }];
    expect(judgeInput(tables, vxlan).troubles).toEqual([]);
    expect(judgeInput(tables, question({ Type: 'vxlan' }, both)).troubles).toEqual([
      expect.stringContaining('with "ip6tables -I INPUT -p udp --dport 8472 -j ACCEPT"'),
    ]);
    expect(judgeInput(filter(':INPUT DROP [0:0]'), question({ Type: 'host-gw' }))).toEqual({
      troubles: [],
      doubts: [],
    });
  });

  // `nft -j list table`, shortened: firewalld 2.0 with the zone public.
  const match = (left: object, right: unknown, op = '==') => ({ match: { op, left, right } });
  const state = (right: unknown) => match({ ct: { key: 'state' } }, right, 'in');
  const chain = (name: string, hook: object = {}) => ({
    chain: { family: 'inet', table: 'firewalld', name, handle: 1, ...hook },
  });
  const rule = (name: string, ...expr: object[]) => ({
    rule: { family: 'inet', table: 'firewalld', chain: name, handle: 2, expr },
  });
  const firewalld = (...more: object[]) => {
    const items = [
      chain('filter_INPUT', { type: 'filter', hook: 'input', prio: 10, policy: 'accept' }),
      chain('filter_IN_public'),
      rule('filter_INPUT', state(['established', 'related']), { accept: null }),
      rule('filter_INPUT', match({ ct: { key: 'status' } }, 'dnat', 'in'), { accept: null }),
      rule('filter_INPUT', match({ meta: { key: 'iifname' } }, 'lo'), { accept: null }),
      rule('filter_INPUT', state('invalid'), { drop: null }),
      rule('filter_INPUT', { jump: { target: 'filter_IN_public' } }),
      rule('filter_INPUT', { reject: { type: 'icmpx', expr: 'admin-prohibited' } }),
      rule('filter_IN_public', match({ payload: { protocol: 'tcp', field: 'dport' } }, 22), { accept: null }),
      rule('filter_IN_public', match({ meta: { key: 'l4proto' } }, { set: ['icmp', 'ipv6-icmp'] }), { accept: null }),
      ...more,
    ];
    return [{ place: 'nft' as const, tables: readChains(JSON.stringify({ nftables: items })) }];
  };

  test('follows the chains of firewalld', () => {
    expect(judgeInput(firewalld(), vxlan).troubles).toEqual([
      'nftables table inet firewalld, chain filter_INPUT drops packets of other nodes (UDP port 8472; reject in chain filter_INPUT): let it accept them, with "firewall-cmd --permanent --add-port=8472/udp" and --reload',
    ]);
    const port = (right: unknown) =>
      rule('filter_IN_public', match({ payload: { protocol: 'udp', field: 'dport' } }, right), { accept: null });
    expect(judgeInput(firewalld(port(8472)), vxlan).troubles).toEqual([]);
    expect(judgeInput(firewalld(port({ set: [53, { range: [8400, 8500] }] })), vxlan).troubles).toEqual([]);
    expect(judgeInput(firewalld(port('@ports')), vxlan).troubles).toEqual([]);
    expect(judgeInput(firewalld(port({ set: [53, { range: [8473, 8500] }] })), vxlan).troubles).toHaveLength(1);
  });
});

test('reveal() reads what nft does not show from iptables-save', () => {
  const hidden = (name: string) => ({ xt: { type: 'match', name } });
  const rule = (...expr: object[]) => ({ rule: { family: 'ip', table: 'filter', chain: 'INPUT', handle: 7, expr } });
  const listed = (...rules: object[]) => {
    const hook = { type: 'filter', hook: 'input', prio: 0, policy: 'drop' };
    const head = { chain: { family: 'ip', table: 'filter', name: 'INPUT', handle: 1, ...hook } };
    return readChains(JSON.stringify({ nftables: [head, ...rules] }))[0]!;
  };
  const table = listed(rule(hidden('conntrack'), { accept: null }));
  const save = (rules: string) => readIptablesSave('ip', `*filter\n:INPUT DROP [0:0]\n${rules}COMMIT\n`)[0]!;
  const saved = save('-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n');
  expect(hasHiddenMatches(table)).toBe(true);
  expect(hasHiddenMatches(listed(rule(hidden('comment'), { accept: null })))).toBe(false);
  expect(judgeInput([{ place: 'nft', tables: [table] }], vxlan).troubles).toEqual([]);
  const revealed = reveal(table, saved);
  expect(revealed.chains[0]!.rules[0]!.handle).toBe(7);
  expect(judgeInput([{ place: 'nft', tables: [revealed] }], vxlan).troubles).toHaveLength(1);
  // Changed in between: what nft said holds.
  expect(reveal(table, save(''))).toEqual(table);
});
