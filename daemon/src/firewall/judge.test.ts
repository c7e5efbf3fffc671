import { readChains } from '@flannel-ts/nft/listing';
import { readIptablesSave } from './iptables.ts';
import { judgeChain, type Packet, surelyDroppingRule } from './judge.ts';

const OUT: Packet = {
  family: 'ip',
  source: '10.5.1.0/24',
  destination: '10.5.0.0/16',
  outInterface: 'flannel0',
};

function judge(save: string, packet = OUT) {
  const [table] = readIptablesSave('ip', `*filter\n${save.trim()}\nCOMMIT\n`);
  const chain = table!.chains.find(({ name }) => name === 'FORWARD')!;
  return { ...judgeChain(table!, chain, packet), at: surelyDroppingRule(table!, chain, packet) };
}

describe('judgeChain()', () => {
  test.each([
    ['an empty chain', ':FORWARD ACCEPT [0:0]', { verdict: 'passes' }],
    ['a policy', ':FORWARD DROP [0:0]', { verdict: 'drops', by: 'policy drop' }],
    [
      'an accept for the network before a policy',
      ':FORWARD DROP [0:0]\n-A FORWARD -s 10.5.0.0/16 -j ACCEPT',
      { verdict: 'passes' },
    ],
    [
      'an accept for another network',
      ':FORWARD DROP [0:0]\n-A FORWARD -s 10.6.0.0/16 -j ACCEPT',
      { verdict: 'drops', by: 'policy drop' },
    ],
    [
      'an accept for a part of the subnet',
      ':FORWARD DROP [0:0]\n-A FORWARD -s 10.5.1.128/25 -j ACCEPT',
      { verdict: 'may-drop', by: 'policy drop' },
    ],
    [
      'an accept for connections that are established',
      ':FORWARD DROP [0:0]\n-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      { verdict: 'drops', by: 'policy drop' },
    ],
    [
      'an accept for another device',
      ':FORWARD DROP [0:0]\n-A FORWARD -o eth0 -j ACCEPT\n-A FORWARD -i lo -j ACCEPT',
      { verdict: 'drops', by: 'policy drop' },
    ],
    [
      'an accept for the device, by a pattern',
      ':FORWARD DROP [0:0]\n-A FORWARD -o flannel+ -m comment --comment "ours, \\"all\\"" -j ACCEPT',
      { verdict: 'passes' },
    ],
    [
      'an accept that depends on the port',
      ':FORWARD DROP [0:0]\n-A FORWARD -p tcp -m tcp --dport 80 -j ACCEPT',
      { verdict: 'may-drop', by: 'policy drop' },
    ],
    [
      'a reject at the end',
      ':FORWARD ACCEPT [0:0]\n-A FORWARD -i eth9 -o eth0 -j DROP\n-A FORWARD -j REJECT --reject-with icmp-host-prohibited',
      { verdict: 'drops', by: 'reject in chain FORWARD', at: 1 },
    ],
    ['a drop of some packets only', ':FORWARD ACCEPT [0:0]\n-A FORWARD -p tcp -j DROP', { verdict: 'passes' }],
    [
      'a chain that rejects, as of ufw',
      ':FORWARD DROP [0:0]\n:ufw-before - [0:0]\n:ufw-reject - [0:0]\n-A FORWARD -j ufw-before\n-A FORWARD -j ufw-reject\n-A ufw-reject -j REJECT',
      { verdict: 'drops', by: 'reject in chain ufw-reject', at: 1 },
    ],
    [
      'a chain that returns before it drops',
      ':FORWARD ACCEPT [0:0]\n:OTHER - [0:0]\n-A FORWARD -j OTHER\n-A OTHER -s 10.5.0.0/16 -j RETURN\n-A OTHER -j DROP',
      { verdict: 'passes' },
    ],
    [
      'a chain that may return before it drops',
      ':FORWARD ACCEPT [0:0]\n:OTHER - [0:0]\n-A FORWARD -j OTHER\n-A OTHER -p tcp -j RETURN\n-A OTHER -j DROP',
      { verdict: 'may-drop', by: 'drop in chain OTHER' },
    ],
    [
      'a chain that is left by goto',
      ':FORWARD DROP [0:0]\n:OTHER - [0:0]\n-A FORWARD -g OTHER\n-A FORWARD -j ACCEPT',
      { verdict: 'drops', by: 'policy drop' },
    ],
    [
      'chains that call each other',
      ':FORWARD ACCEPT [0:0]\n:A - [0:0]\n-A FORWARD -j A\n-A A -j A',
      { verdict: 'passes' },
    ],
    [
      'a negated address',
      ':FORWARD ACCEPT [0:0]\n-A FORWARD ! -s 10.6.0.0/16 -j DROP',
      { verdict: 'drops', by: 'drop in chain FORWARD', at: 0 },
    ],
  ])('judges %s', (_, save, expected) => {
    expect(judge(save)).toEqual({ at: undefined, ...expected });
  });

  test('looks at the way in as well', () => {
    const packet: Packet = {
      family: 'ip',
      source: '10.5.0.0/16',
      destination: '10.5.1.0/24',
      inInterface: 'flannel0',
    };
    expect(judge(':FORWARD DROP [0:0]\n-A FORWARD -o flannel0 -j ACCEPT', packet).verdict).toBe('may-drop');
    expect(judge(':FORWARD DROP [0:0]\n-A FORWARD -i flannel0 -j ACCEPT', packet).verdict).toBe('passes');
  });

  // `nft -j list table`, shortened: iptables-nft 1.8.9 with conntrack and REJECT, and firewalld with a verdict map.
  const chain = (name: string, more: object) => ({ chain: { family: 'ip', table: 't', name, handle: 1, ...more } });
  const rule = (name: string, ...expr: object[]) => ({
    rule: { family: 'ip', table: 't', chain: name, handle: 2, expr },
  });
  const nft = (...items: object[]) => {
    const [table] = readChains(JSON.stringify({ nftables: [{ metainfo: {} }, ...items] }));
    return judgeChain(table!, table!.chains[0]!, OUT);
  };
  const hook = { type: 'filter', hook: 'forward', prio: 0, policy: 'accept' };
  const established = { match: { op: 'in', left: { ct: { key: 'state' } }, right: ['established', 'related'] } };

  test('knows the targets of iptables-nft, and what a verdict map may do', () => {
    const reject = { xt: { type: 'target', name: 'REJECT' } };
    const conntrack = { xt: { type: 'match', name: 'conntrack' } };
    expect(nft(chain('F', hook), rule('F', { counter: {} }, reject))).toEqual({
      verdict: 'drops',
      by: 'REJECT in chain F',
    });
    const target = (name: string) => nft(chain('F', hook), rule('F', { xt: { type: 'target', name } })).verdict;
    expect(target('DROP')).toBe('drops');
    expect(target('LOG')).toBe('passes');
    expect(nft(chain('F', hook), rule('F', conntrack, { accept: null }), rule('F', reject)).verdict).toBe('may-drop');
    expect(nft(chain('F', hook), rule('F', established, { accept: null }), rule('F', { reject: {} })).verdict).toBe(
      'drops',
    );
    const map = { vmap: { key: { meta: { key: 'iifname' } }, data: { set: [['eth0', { goto: { target: 'Z' } }]] } } };
    const zones = (verdict: object) =>
      nft(chain('F', hook), chain('Z', {}), rule('F', map), rule('F', { reject: {} }), rule('Z', verdict)).verdict;
    expect(zones({ accept: null })).toBe('may-drop');
    expect(zones({ drop: null })).toBe('drops');
    const named = { vmap: { key: { meta: { key: 'iifname' } }, data: '@zones' } };
    expect(nft(chain('F', hook), rule('F', named), rule('F', { drop: null })).verdict).toBe('may-drop');
  });
});
