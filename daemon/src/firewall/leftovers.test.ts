import type { ListedTable } from '@flannel-ts/nft/listing';
import { readIptablesSave } from './iptables.ts';
import { planLeftovers } from './leftovers.ts';

/** As flannel writes them (trafficmngr/iptables/iptables.go), beside rules of others. */
const SAVED = `*nat
:POSTROUTING ACCEPT [0:0]
:FLANNEL-POSTRTG - [0:0]
-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG
-A POSTROUTING -s 172.17.0.0/16 -j MASQUERADE
-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s 10.5.1.0/24 -d 10.5.0.0/16 -m comment --comment "flanneld masq" -j RETURN
COMMIT
*filter
:FORWARD DROP [0:0]
:FLANNEL-FWD - [0:0]
-A FORWARD -j OTHER
-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD
-A FLANNEL-FWD -s 10.5.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT
COMMIT
`;
const saved = readIptablesSave('ip', SAVED);
const flannelTable = (name: string, network: string): ListedTable => ({
  family: 'ip',
  name,
  chains: [
    {
      name: 'forward',
      rules: [{ handle: 1, expressions: [{ kind: 'address', family: 'ip', side: 'saddr', prefix: network }] }],
    },
  ],
});

describe('planLeftovers()', () => {
  test("removes flannel's chains and jumps, and nothing else", () => {
    const { nft, legacy, names } = planLeftovers([{ place: 'nft', tables: saved }], ['10.5.0.0/16']);
    expect(nft.split('\n')).toEqual([
      'delete rule ip nat POSTROUTING handle 1',
      'flush chain ip nat FLANNEL-POSTRTG',
      'delete chain ip nat FLANNEL-POSTRTG',
      'delete rule ip filter FORWARD handle 2',
      'flush chain ip filter FLANNEL-FWD',
      'delete chain ip filter FLANNEL-FWD',
      '',
    ]);
    expect(legacy).toEqual({ ip: '', ip6: '' });
    expect(names).toEqual(['chain FLANNEL-POSTRTG in ip nat', 'chain FLANNEL-FWD in ip filter']);
  });

  test('does so in the tables of the older iptables', () => {
    expect(planLeftovers([{ place: 'legacy', tables: saved }], ['10.5.0.0/16']).legacy.ip).toBe(
      '*nat\n-D POSTROUTING 1\n-F FLANNEL-POSTRTG\n-X FLANNEL-POSTRTG\nCOMMIT\n' +
        '*filter\n-D FORWARD 2\n-F FLANNEL-FWD\n-X FLANNEL-FWD\nCOMMIT\n',
    );
  });

  test('leaves what another flannel uses for its network', () => {
    const tables = [...saved, flannelTable('flannel-ipv4', '10.5.0.0/16'), flannelTable('other', '10.6.0.0/16')];
    expect(planLeftovers([{ place: 'nft', tables }], ['10.6.0.0/16']).names).toEqual([]);
  });

  test("knows flannel's nftables tables, and ours of these networks or of all", () => {
    const names = ['flannel-ipv4', 'flannel-ipv4-10.5.0.0-16', 'flannel-ipv4-10.6.0.0-16', 'flannel-ipv4x'];
    const tables = names.map((name) => flannelTable(name, '10.5.0.0/16'));
    const plan = (networks?: string[]) => planLeftovers([{ place: 'nft', tables }], networks).nft;
    expect(plan(['10.5.0.0/16'])).toBe('delete table ip flannel-ipv4\ndelete table ip flannel-ipv4-10.5.0.0-16\n');
    expect(plan()).toContain('delete table ip flannel-ipv4-10.6.0.0-16\n');
    expect(plan()).not.toContain('flannel-ipv4x');
  });
});
