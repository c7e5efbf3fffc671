import { parseIp } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { parseInterfaceAddress, parsePrefix, prefixFrom } from '@flannel-ts/inet/prefix';
import fc from 'fast-check';
import { FlannelError } from './errors.ts';
import { parseNetworkConfig } from './network-config.ts';
import { formatSubnetEnv, parseSubnetEnv, type SubnetEnv, subnetEnvFailure, subnetEnvOf } from './subnet-env.ts';

const IPV4 = 'FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.72.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n';
const DUAL =
  'FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.72.1/24\nFLANNEL_IPV6_NETWORK=fc00::/48\n' +
  'FLANNEL_IPV6_SUBNET=fc00:0:0:1::1/64\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n';

describe('subnet.env', () => {
  test('formatSubnetEnv() writes flannel bytes', () => {
    const config = parseNetworkConfig('{"Network":"10.5.0.0/16"}');
    const env = subnetEnvOf(config, { subnet: parsePrefix('10.5.72.0/24') }, 1450, true);
    expect(formatSubnetEnv(env)).toBe(IPV4);
  });

  test('formatSubnetEnv() writes both families', () => {
    const config = parseNetworkConfig('{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fc00::/48"}');
    const lease = { subnet: parsePrefix('10.5.72.0/24'), ipv6Subnet: parsePrefix('fc00:0:0:1::/64') };
    expect(formatSubnetEnv(subnetEnvOf(config, lease, 1450, false))).toBe(DUAL);
  });

  test('formatSubnetEnv() leaves IPv4 out of an IPv6-only node', () => {
    const config = parseNetworkConfig('{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fc00::/48"}');
    const lease = { ipv6Subnet: parsePrefix('fc00:0:0:1::/64') };
    expect(formatSubnetEnv(subnetEnvOf(config, lease, 1450, false))).toBe(
      'FLANNEL_IPV6_NETWORK=fc00::/48\nFLANNEL_IPV6_SUBNET=fc00:0:0:1::1/64\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n',
    );
  });

  test('parseSubnetEnv() reads both families', () => {
    expect(parseSubnetEnv(DUAL)).toEqual({
      networks: [parsePrefix('10.5.0.0/16')],
      subnet: parseInterfaceAddress('10.5.72.1/24'),
      ipv6Networks: [parsePrefix('fc00::/48')],
      ipv6Subnet: { address: parseIp('fc00:0:0:1::1'), length: 64 },
      mtu: 1450,
      ipMasq: false,
    });
  });

  test('formatSubnetEnv() and parseSubnetEnv() are inverse', () => {
    const ip = fc.integer({ min: 0, max: 0xffff_ffff }).map((n) => n as Ipv4);
    const length = fc.integer({ min: 0, max: 32 });
    const env = fc.record({
      networks: fc.uniqueArray(
        fc.tuple(ip, length).map(([a, l]) => prefixFrom(a, l)),
        { minLength: 1, selector: (p) => `${p.base}/${p.length}` },
      ),
      subnet: fc.record({ address: ip, length }),
      ipv6Networks: fc.constant([]),
      mtu: fc.nat(),
      ipMasq: fc.boolean(),
    });
    fc.assert(fc.property(env, (value) => expect(parseSubnetEnv(formatSubnetEnv(value))).toEqual(value as SubnetEnv)));
  });

  test('parseSubnetEnv() reads a list of networks without repetitions, CRLF, quotes, comments, unknown keys', () => {
    const env = parseSubnetEnv(
      '# made by hand\r\nFLANNEL_NETWORK=10.1.0.0/16,192.168.0.0/16,10.1.0.0/16\r\nFLANNEL_SUBNET="10.1.17.1/24"\r\n' +
        'FLANNEL_MTU=1472\r\nFLANNEL_IPMASQ=true\r\nfoo\r\nbar=baz\r\n',
    );
    expect(env.networks).toEqual([parsePrefix('10.1.0.0/16'), parsePrefix('192.168.0.0/16')]);
    expect(env.subnet).toEqual({ address: parseIp('10.1.17.1'), length: 24 });
    expect(env.ipMasq).toBe(true);
  });

  test('parseSubnetEnv() accepts the largest number of 32 bits', () => {
    expect(parseSubnetEnv(IPV4.replace('1450', '4294967295')).mtu).toBe(4_294_967_295);
  });

  test('parseSubnetEnv() reads only "true" as true', () => {
    expect(parseSubnetEnv(IPV4.replace('=true', '=TRUE')).ipMasq).toBe(false);
  });

  test.each([
    [
      'foo=bar',
      '/f is missing FLANNEL_NETWORK, FLANNEL_IPV6_NETWORK, FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET, FLANNEL_MTU, FLANNEL_IPMASQ',
    ],
    ['', '/f is missing FLANNEL_NETWORK, '],
    [IPV4.replace(/FLANNEL_MTU.*\n/, ''), '/f is missing FLANNEL_MTU'],
    [IPV4.replace(/FLANNEL_SUBNET.*\n/, ''), '/f is missing FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET'],
    [IPV4.replace(/FLANNEL_NETWORK.*\n/, ''), '/f is missing FLANNEL_NETWORK, FLANNEL_IPV6_NETWORK'],
    [IPV4.replace(/FLANNEL_IPMASQ.*\n/, ''), '/f is missing FLANNEL_IPMASQ'],
    // flannel's CNI plugin crashes on this one.
    [IPV4.replace('FLANNEL_MTU=1450', 'FLANNEL_MTU'), '/f: FLANNEL_MTU has no value'],
    [IPV4.replace('1450', 'many'), '/f: FLANNEL_MTU has an invalid number: "many"'],
    [IPV4.replace('1450', '-1'), '/f: FLANNEL_MTU has an invalid number: "-1"'],
    [IPV4.replace('1450', '4294967296'), '/f: FLANNEL_MTU has an invalid number'],
    [IPV4.replace('10.5.72.1/24', ''), '/f: FLANNEL_SUBNET has an invalid CIDR address: ""'],
    [IPV4.replace('10.5.0.0/16', '10.5.0.0/16,x'), '/f: FLANNEL_NETWORK has an invalid CIDR address: "10.5.0.0/16,x"'],
  ])('parseSubnetEnv() refuses %j', (text, message) => {
    expect(() => parseSubnetEnv(text, '/f')).toThrow(message);
  });

  test('parseSubnetEnv() throws nothing but FlannelError', () => {
    const line = fc.oneof(
      fc.string(),
      fc.constantFrom(...DUAL.split('\n')),
      fc.constantFrom('FLANNEL_MTU', 'FLANNEL_SUBNET='),
    );
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        try {
          parseSubnetEnv(lines.join('\n'));
        } catch (error) {
          expect(error).toBeInstanceOf(FlannelError);
        }
      }),
    );
  });

  test('subnetEnvFailure() is the sentence people search for', () => {
    expect(subnetEnvFailure('open /run/flannel/subnet.env: no such file or directory')).toBe(
      "failed to load flannel 'subnet.env' file: open /run/flannel/subnet.env: no such file or directory. " +
        'Check the flannel pod log for this node.',
    );
  });
});
