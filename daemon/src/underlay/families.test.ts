import { parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import { checkFamilies } from './families.ts';

test('checkFamilies() refuses a network with IPv6 on a kernel without it, and nothing else', () => {
  const ipv4 = parseNetworkConfig('{"Network":"10.5.0.0/16"}');
  const dual = parseNetworkConfig('{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00::/48"}');
  expect(() => checkFamilies(ipv4, false)).not.toThrow();
  expect(() => checkFamilies(dual, true)).not.toThrow();
  expect(() => checkFamilies(dual, false)).toThrow('boot it without ipv6.disable=1, or set EnableIPv6 to false');
});
