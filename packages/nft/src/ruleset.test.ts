import { NftError } from './errors.ts';
import { type Expression, renderRule, renderTable } from './ruleset.ts';

const text = (...expressions: Expression[]) => renderRule({ expressions });

describe('ruleset', () => {
  test.each<[Expression, string]>([
    [{ kind: 'address', family: 'ip', side: 'saddr', prefix: '10.0.0.0/8' }, 'ip saddr 10.0.0.0/8'],
    [{ kind: 'address', family: 'ip', side: 'daddr', not: true, prefix: '10.0.0.1/32' }, 'ip daddr != 10.0.0.1'],
    [{ kind: 'address', family: 'ip6', side: 'saddr', prefix: 'fd00::1/128' }, 'ip6 saddr fd00::1'],
    // The full length of IPv4 is a short one of IPv6.
    [{ kind: 'address', family: 'ip6', side: 'saddr', prefix: 'fd00::/32' }, 'ip6 saddr fd00::/32'],
    [{ kind: 'mark', value: 0x4000 }, 'meta mark 0x00004000'],
    [{ kind: 'mark', not: true, value: 1, mask: 3 }, 'meta mark & 0x00000003 != 0x00000001'],
    [{ kind: 'interface', side: 'oifname', not: true, name: 'cni0' }, 'oifname != "cni0"'],
    [{ kind: 'interface', side: 'iifname', name: 'veth*' }, 'iifname "veth*"'],
    [{ kind: 'port', protocol: 'tcp', side: 'dport', port: 80 }, 'tcp dport 80'],
    [{ kind: 'local-destination' }, 'fib daddr type local'],
    [{ kind: 'set-mark', bits: 0x2000 }, 'meta mark set meta mark | 0x00002000'],
    [{ kind: 'masquerade', flags: [] }, 'masquerade'],
    [{ kind: 'masquerade', flags: ['random', 'persistent'] }, 'masquerade random,persistent'],
    [{ kind: 'dnat', family: 'ip', address: '10.0.0.1', port: 80 }, 'dnat ip to 10.0.0.1:80'],
    [{ kind: 'dnat', family: 'ip6', address: 'fd00::1', port: 80 }, 'dnat ip6 to [fd00::1]:80'],
    [{ kind: 'jump', target: 'next' }, 'jump next'],
  ])('renderRule() writes %j', (expression, expected) => {
    expect(text(expression)).toBe(expected);
  });

  test('renderTable() writes chains with and without a hook', () => {
    const table = renderTable({
      family: 'inet',
      name: 't',
      chains: [
        { name: 'plain', rules: [{ expressions: [{ kind: 'drop' }], comment: 'why' }] },
        { name: 'base', hook: { type: 'nat', hook: 'prerouting', priority: -100, policy: 'accept' }, rules: [] },
      ],
    });
    expect(table).toBe(
      'table inet t {\n\tchain plain {\n\t\tdrop comment "why"\n\t}\n' +
        '\tchain base {\n\t\ttype nat hook prerouting priority -100; policy accept;\n\t}\n}\n',
    );
  });

  // A ruleset is a program: nothing that comes from outside may add to it.
  test.each<[string, () => unknown]>([
    ['table name', () => renderTable({ family: 'ip', name: 'a; flush ruleset', chains: [] })],
    ['chain name', () => renderTable({ family: 'ip', name: 'a', chains: [{ name: 'b }\n', rules: [] }] })],
    ['jump target', () => text({ kind: 'jump', target: 'x\naccept' })],
    ['address', () => text({ kind: 'address', family: 'ip', side: 'saddr', prefix: '0/0 accept' })],
    ['interface', () => text({ kind: 'interface', side: 'iifname', name: 'a" accept' })],
    ['comment', () => renderRule({ expressions: [{ kind: 'drop' }], comment: 'a" accept comment "b' })],
    ['number', () => text({ kind: 'port', protocol: 'tcp', side: 'dport', port: Number.NaN })],
    ['what was read and is not known', () => text({ kind: 'other', json: {} })],
  ])('renderRule() and renderTable() refuse a %s that is no such thing', (_, attempt) => {
    expect(attempt).toThrow(NftError);
    expect(attempt).toThrow('nftables');
  });
});
