/** Chains with every kind of expression that the program nft and netlink both write and read. */
import type { Chain, Expression, Hook, Rule } from '@flannel-ts/nft/ruleset';

export const PREROUTING: Hook = { type: 'nat', hook: 'prerouting', priority: -100, policy: 'accept' };
const POSTROUTING: Hook = { type: 'nat', hook: 'postrouting', priority: 100, policy: 'accept' };

export const rule = (...expressions: Expression[]): Rule => ({ expressions });

export const CHAINS: readonly Chain[] = [
  { name: 'next', rules: [rule({ kind: 'counter' }, { kind: 'drop' })] },
  {
    name: 'pre',
    hook: PREROUTING,
    rules: [
      rule(
        { kind: 'local-destination' },
        { kind: 'port', protocol: 'tcp', side: 'dport', port: 8080 },
        { kind: 'dnat', family: 'ip', address: '10.0.0.3', port: 80 },
      ),
      rule(
        { kind: 'address', family: 'ip6', side: 'daddr', prefix: 'fd00::1' },
        { kind: 'port', protocol: 'udp', side: 'dport', port: 53 },
        { kind: 'dnat', family: 'ip6', address: 'fd00::3', port: 53 },
      ),
      rule(
        { kind: 'address', family: 'ip', side: 'daddr', prefix: '10.0.0.1' },
        { kind: 'dnat', family: 'ip', address: '10.0.0.3' },
      ),
    ],
  },
  {
    name: 'post',
    hook: POSTROUTING,
    rules: [
      rule({ kind: 'mark', value: 0x4000, mask: 0x4000 }, { kind: 'return' }),
      rule(
        { kind: 'mark', not: true, value: 0, mask: 0x4000 },
        { kind: 'set-mark', bits: 0x2000 },
        { kind: 'jump', target: 'next' },
      ),
      rule({ kind: 'mark', not: true, value: 7 }, { kind: 'accept' }),
      rule(
        { kind: 'interface', side: 'oifname', not: true, name: 'cni0' },
        { kind: 'interface', side: 'iifname', name: 'veth*' },
        { kind: 'goto', target: 'next' },
      ),
      {
        ...rule(
          { kind: 'address', family: 'ip', side: 'saddr', prefix: '10.64.0.0/19' },
          { kind: 'address', family: 'ip', side: 'daddr', not: true, prefix: '10.64.0.0/16' },
          { kind: 'masquerade', flags: ['fully-random'] },
        ),
        comment: 'flanneld masq',
      },
      rule(
        { kind: 'address', family: 'ip6', side: 'daddr', not: true, prefix: 'ff00::/8' },
        { kind: 'masquerade', flags: ['random', 'persistent'] },
      ),
      rule({ kind: 'masquerade', flags: [] }),
    ],
  },
];
