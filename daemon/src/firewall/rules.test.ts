import { parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import { renderTable } from '@flannel-ts/nft/ruleset';
import { desiredTables, overlayOf } from './rules.ts';

const ALL = { masquerade: true, forward: true, fullyRandom: true };
const dual = overlayOf(parseNetworkConfig('{"Network":"10.244.0.0/16","EnableIPv6":true,"IPv6Network":"fd00::/48"}'), {
  subnet: parsePrefix('10.244.7.0/24'),
  ipv6Subnet: parsePrefix('fd00:0:0:7::/64'),
});
const { 4: ipv4 } = dual;

describe('masquerade', () => {
  test('desiredTables() says in nftables what flannel says in iptables', () => {
    expect(renderTable(desiredTables(dual, ALL)[0]!).replace(/\t/g, '  ')).toBe(`table ip flannel-ipv4-10.244.0.0-16 {
  chain postrtg {
    type nat hook postrouting priority 100; policy accept;
    meta mark & 0x00004000 == 0x00004000 return comment "flanneld masq"
    ip saddr 10.244.7.0/24 ip daddr 10.244.0.0/16 return comment "flanneld masq"
    ip saddr 10.244.0.0/16 ip daddr 10.244.7.0/24 return comment "flanneld masq"
    ip saddr != 10.244.0.0/16 ip daddr 10.244.7.0/24 return comment "flanneld masq"
    ip saddr 10.244.0.0/16 ip daddr != 224.0.0.0/4 masquerade fully-random comment "flanneld masq"
    ip saddr != 10.244.0.0/16 ip daddr 10.244.0.0/16 masquerade fully-random comment "flanneld masq"
  }
  chain forward {
    type filter hook forward priority 0; policy accept;
    ip saddr 10.244.0.0/16 accept comment "flanneld forward"
    ip daddr 10.244.0.0/16 accept comment "flanneld forward"
  }
}
`);
  });

  test('desiredTables() says the same for IPv6', () => {
    const table = renderTable(desiredTables(dual, ALL)[1]!);
    expect(table).toContain('table ip6 flannel-ipv6-fd00..-48 {');
    expect(table).toContain('ip6 saddr fd00:0:0:7::/64 ip6 daddr fd00::/48 return');
    expect(table).toContain('ip6 saddr fd00::/48 ip6 daddr != ff00::/8 masquerade fully-random');
    expect(table).not.toContain('ip saddr');
  });

  test('desiredTables() leaves fully-random out when that is off', () => {
    expect(renderTable(desiredTables({ 4: ipv4! }, { ...ALL, fullyRandom: false })[0]!)).toContain(
      'masquerade comment',
    );
  });

  test('desiredTables() has only what is wanted', () => {
    const names = (wanted: Partial<typeof ALL>) =>
      desiredTables(dual, { ...ALL, ...wanted }).map((table) => [
        table.name,
        ...table.chains.map((chain) => chain.name),
      ]);
    expect(names({ forward: false })).toEqual([
      ['flannel-ipv4-10.244.0.0-16', 'postrtg'],
      ['flannel-ipv6-fd00..-48', 'postrtg'],
    ]);
    expect(names({ masquerade: false, forward: false })).toEqual([]);
  });

  test('overlayOf() has no family that is off', () => {
    const config = parseNetworkConfig('{"Network":"10.244.0.0/16"}');
    expect(overlayOf(config, { subnet: parsePrefix('10.244.7.0/24') })).toEqual({
      4: { network: '10.244.0.0/16', subnet: '10.244.7.0/24' },
    });
  });
});
