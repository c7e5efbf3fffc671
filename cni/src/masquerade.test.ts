import { parseInterfaceAddress } from '@flannel-ts/inet/prefix';
import { renderMasquerade } from './masquerade.ts';

test('renderMasquerade() spares the own subnet and multicast (#21)', () => {
  const addresses = [parseInterfaceAddress('10.244.1.5/24'), parseInterfaceAddress('fd00::5/64')];
  expect(renderMasquerade([{ owner: 'veth0123456789a', addresses }])).toMatchInlineSnapshot(`
"add map inet flannel_cni pods4 { type ipv4_addr : verdict; }
add map inet flannel_cni pods6 { type ipv6_addr : verdict; }
add chain inet flannel_cni postrouting { type nat hook postrouting priority 100; policy accept; }
flush chain inet flannel_cni postrouting
add rule inet flannel_cni postrouting ip saddr vmap @pods4
add rule inet flannel_cni postrouting ip6 saddr vmap @pods6
add chain inet flannel_cni from_10.244.1.0_24
flush chain inet flannel_cni from_10.244.1.0_24
add rule inet flannel_cni from_10.244.1.0_24 ip daddr 10.244.1.0/24 return
add rule inet flannel_cni from_10.244.1.0_24 ip daddr 224.0.0.0/4 return
add rule inet flannel_cni from_10.244.1.0_24 masquerade
add element inet flannel_cni pods4 { 10.244.1.5 comment "veth0123456789a" : goto from_10.244.1.0_24 }
add chain inet flannel_cni from_fd00___64
flush chain inet flannel_cni from_fd00___64
add rule inet flannel_cni from_fd00___64 ip6 daddr fd00::/64 return
add rule inet flannel_cni from_fd00___64 ip6 daddr ff00::/8 return
add rule inet flannel_cni from_fd00___64 masquerade
add element inet flannel_cni pods6 { fd00::5 comment "veth0123456789a" : goto from_fd00___64 }
"
`);
});
