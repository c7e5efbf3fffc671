import { parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import { configChange } from './config-change.ts';

const BASE = { Network: '10.5.0.0/16', Backend: { Type: 'udp' } };
const IPV6 = { EnableIPv6: true, IPv6Network: 'fd00::/48' };
const change = (before: object, after: object) =>
  configChange(
    ...([before, after].map((one) => parseNetworkConfig(JSON.stringify({ ...BASE, ...one }))) as [never, never]),
  );

test.each([
  ['the same', {}, {}, { kind: 'none' }],
  ['a default written out', {}, { Backend: { Type: 'udp', Port: 8285 } }, { kind: 'none' }],
  ['another engine', {}, { Backend: { Type: 'udp', Engine: 'reference' } }, { kind: 'live' }],
  ['another backend', {}, { Backend: { Type: 'vxlan' } }, { kind: 'join', what: 'backend vxlan instead of udp' }],
  [
    'another port',
    {},
    { Backend: { Type: 'udp', Port: 9 } },
    { kind: 'join', what: 'other settings of the udp backend' },
  ],
  [
    'more queues, for which the device is made anew',
    {},
    { Backend: { Type: 'udp', Queues: 2 } },
    { kind: 'join', what: 'other settings of the udp backend' },
  ],
  ['a second family', {}, IPV6, { kind: 'join', what: 'IPv6 on' }],
  ['one family less', IPV6, { EnableIPv4: false, ...IPV6 }, { kind: 'join', what: 'IPv4 off' }],
  ['nftables only', {}, { EnableNFTables: true }, { kind: 'join', what: 'EnableNFTables true' }],
  ['another network', {}, { Network: '10.6.0.0/16' }, { kind: 'restart', reason: 'another IPv4 network' }],
  ['another subnet length', {}, { SubnetLen: 25 }, { kind: 'restart', reason: 'another IPv4 network' }],
  [
    'the other family instead',
    {},
    { EnableIPv4: false, ...IPV6 },
    { kind: 'restart', reason: 'no address family is left of those that pods have' },
  ],
])('configChange() of %s', (_, before, after, expected) => {
  expect(change(before, after)).toEqual(expected);
});
