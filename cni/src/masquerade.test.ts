import { parseInterfaceAddress } from '@flannel-ts/inet/prefix';
import { renderRule, renderSet } from '@flannel-ts/nft/ruleset';
import { masqueradeCommands } from './masquerade.ts';

test('masqueradeCommands() spare the own subnet and multicast (#21)', () => {
  const addresses = [parseInterfaceAddress('10.244.1.5/24'), parseInterfaceAddress('fd00::5/64')];
  const commands = masqueradeCommands([{ owner: 'veth0123456789a', addresses }]).map((command) => {
    if (command.do === 'add set') return renderSet(command.set);
    if (command.do === 'add rule') return `${command.chain}: ${renderRule(command.rule)}`;
    if (command.do === 'add elements') return `${command.set.name}: ${JSON.stringify(command.elements)}`;
    return 'chain' in command && typeof command.chain === 'string' ? `${command.do} ${command.chain}` : command.do;
  });
  expect(commands).toEqual([
    'map pods4 { type ipv4_addr : verdict; }',
    'map pods6 { type ipv6_addr : verdict; }',
    'add chain',
    'flush chain postrouting',
    'postrouting: ip saddr vmap @pods4',
    'postrouting: ip6 saddr vmap @pods6',
    'add chain',
    'flush chain from_10.244.1.0_24',
    'from_10.244.1.0_24: ip daddr 10.244.1.0/24 return',
    'from_10.244.1.0_24: ip daddr 224.0.0.0/4 return',
    'from_10.244.1.0_24: masquerade',
    'pods4: [{"key":["10.244.1.5"],"data":{"kind":"goto","target":"from_10.244.1.0_24"},"comment":"veth0123456789a"}]',
    'add chain',
    'flush chain from_fd00___64',
    'from_fd00___64: ip6 daddr fd00::/64 return',
    'from_fd00___64: ip6 daddr ff00::/8 return',
    'from_fd00___64: masquerade',
    'pods6: [{"key":["fd00::5"],"data":{"kind":"goto","target":"from_fd00___64"},"comment":"veth0123456789a"}]',
  ]);
});
