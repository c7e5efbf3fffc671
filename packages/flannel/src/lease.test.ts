import { parseIp } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import type { Ipv6 } from '@flannel-ts/inet/ipv6';
import { parsePort } from '@flannel-ts/inet/port';
import { formatPrefix, parsePrefix, prefixFrom } from '@flannel-ts/inet/prefix';
import fc from 'fast-check';
import { FlannelError } from './errors.ts';
import {
  formatLeaseKey,
  formatLeaseSubnets,
  formatLeaseValue,
  isSameNode,
  type LeaseAttributes,
  parseLeaseKey,
  parseLeaseValue,
} from './lease.ts';
import { formatVxlanData, parseVxlanData } from './vxlan-data.ts';
import { formatWireguardData, parseWireguardData } from './wireguard-data.ts';

const anyIpv4 = fc.integer({ min: 1, max: 0xffff_ffff }).map((n) => n as Ipv4);
const anyIpv6 = fc.bigInt({ min: 1n << 100n, max: (1n << 128n) - 1n }).map((n) => n as Ipv6);

describe('lease key', () => {
  test('formatLeaseKey() writes flannel keys', () => {
    const subnet = parsePrefix('10.5.52.0/24');
    const ipv6Subnet = prefixFrom(parseIp('fc00:0:0:1::'), 64);
    expect(formatLeaseKey({ subnet })).toBe('10.5.52.0-24');
    expect(formatLeaseKey({ subnet, ipv6Subnet })).toBe('10.5.52.0-24&fc00:0:0:1::-64');
    expect(formatLeaseKey({ ipv6Subnet })).toBe('0.0.0.0-0&fc00:0:0:1::-64');
  });

  test('formatLeaseSubnets() writes the subnets that there are', () => {
    const text = (key: string) => formatLeaseSubnets(parseLeaseKey(key)!);
    expect(text('10.5.52.0-24')).toBe('10.5.52.0/24');
    expect(text('10.5.52.0-24&fc00:0:0:1::-64')).toBe('10.5.52.0/24,fc00:0:0:1::/64');
    expect(text('0.0.0.0-0&fc00:0:0:1::-64')).toBe('fc00:0:0:1::/64');
  });

  test('parseLeaseKey() reads both families', () => {
    const parsed = parseLeaseKey('10.12.13.0-24&fd00:12:13::-56');
    expect(formatPrefix(parsed!.subnet!)).toBe('10.12.13.0/24');
    expect(formatPrefix(parsed!.ipv6Subnet!)).toBe('fd00:12:13::/56');
    expect(parseLeaseKey('10.12.13.0-24')).toEqual({ subnet: parsePrefix('10.12.13.0/24') });
  });

  test('formatLeaseKey() and parseLeaseKey() are inverse', () => {
    fc.assert(
      fc.property(
        anyIpv4,
        fc.integer({ min: 1, max: 31 }),
        anyIpv6,
        fc.integer({ min: 29, max: 127 }),
        (a, l, a6, l6) => {
          const subnet = prefixFrom(a, l);
          const ipv6Subnet = prefixFrom(a6, l6);
          for (const subnets of [{ subnet }, { subnet, ipv6Subnet }, { ipv6Subnet }]) {
            expect(parseLeaseKey(formatLeaseKey(subnets))).toEqual(subnets);
          }
        },
      ),
    );
  });

  // flannel: subnet/subnet_test.go, TestSubnetNodeInvalid; then ours.
  test.each([
    '10',
    '10.12.13.0',
    '10.12.13-24',
    '10.12.13.300-24',
    '10.12.13.0-24hi',
    '&2001::-56',
    '10.12.13.0-24&:12:13:-56',
    '10.12.13.0-24&20011::-56',
    '10.12.13.0-24&2001-56',
    '10.12.13.0-24&2001::',
    '10.12.13.0-24&2001::-56hi',
    '',
    '0.0.0.0-0',
    '10.12.13.0-0&2001::-56',
    '10.12.13.0-32',
    '10.12.13.0-99999999999',
    '10.12.13.1-24',
    '10.12.13.0-024',
    '10.12.13.0-24&2001::-128',
    '10.12.13.0-24&2001:0::-56',
    '10.12.13.0-24\n',
    'x10.12.13.0-24',
  ])('parseLeaseKey() takes %j for no lease', (key) => {
    expect(parseLeaseKey(key)).toBeUndefined();
  });
});

describe('lease value', () => {
  const mac = 'c6:d2:32:6f:8f:44';
  const publicKey = 'hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=';
  const golden: readonly [string, LeaseAttributes][] = [
    ['{"PublicIP":"1.2.3.4","PublicIPv6":null}', { publicIp: parseIp('1.2.3.4'), backendType: '' }],
    [
      '{"PublicIP":"192.168.64.3","PublicIPv6":null,"BackendType":"host-gw"}',
      { publicIp: parseIp('192.168.64.3'), backendType: 'host-gw' },
    ],
    [
      `{"PublicIP":"192.168.64.3","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"${mac}"}}`,
      { publicIp: parseIp('192.168.64.3'), backendType: 'vxlan', backendData: { VNI: 1, VtepMAC: mac } },
    ],
    [
      `{"PublicIP":"10.0.0.1","PublicIPv6":"fd00::1","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"${mac}"},"BackendV6Data":{"VNI":1,"VtepMAC":"${mac}"}}`,
      {
        publicIp: parseIp('10.0.0.1'),
        publicIpv6: parseIp('fd00::1'),
        backendType: 'vxlan',
        backendData: { VNI: 1, VtepMAC: mac },
        backendV6Data: { VNI: 1, VtepMAC: mac },
      },
    ],
    [
      `{"PublicIP":"10.0.0.1","PublicIPv6":null,"BackendType":"wireguard","BackendData":{"PublicKey":"${publicKey}","Port":51820}}`,
      {
        publicIp: parseIp('10.0.0.1'),
        backendType: 'wireguard',
        backendData: formatWireguardData({ publicKey, port: parsePort(51_820) }),
      },
    ],
    [
      '{"PublicIP":"10.0.0.1","PublicIPv6":null,"BackendType":"extension","BackendData":"a \\u003c b \\u0026 c"}',
      { publicIp: parseIp('10.0.0.1'), backendType: 'extension', backendData: 'a < b & c' },
    ],
  ];

  test.each(golden)('formatLeaseValue() writes %s', (text, attributes) => {
    expect(formatLeaseValue(attributes)).toBe(text);
    expect(parseLeaseValue(text)).toEqual(attributes);
  });

  test('formatLeaseValue() and parseLeaseValue() are inverse', () => {
    const attributes = fc.record(
      {
        publicIp: anyIpv4,
        publicIpv6: anyIpv6,
        backendType: fc.constantFrom('', 'vxlan', 'host-gw', 'wireguard'),
        backendData: fc.jsonValue().filter((value) => value !== null),
      },
      { requiredKeys: ['publicIp', 'backendType'] },
    );
    fc.assert(
      fc.property(attributes, (lease) => {
        // JSON has no -0.
        const expected = JSON.parse(JSON.stringify(lease, (_, v) => (typeof v === 'bigint' ? String(v) : v)));
        const parsed = parseLeaseValue(formatLeaseValue(lease as LeaseAttributes));
        expect(JSON.parse(JSON.stringify(parsed, (_, v) => (typeof v === 'bigint' ? String(v) : v)))).toEqual(expected);
      }),
    );
  });

  test('parseLeaseValue() ignores letter case, unknown keys and nulls', () => {
    expect(parseLeaseValue('{"publicip":"1.2.3.4","Extra":1,"BackendType":null,"backenddata":null}')).toEqual({
      publicIp: parseIp('1.2.3.4'),
      backendType: '',
    });
  });

  test('parseLeaseValue() reads the lease of an IPv6-only node', () => {
    const text = '{"PublicIP":"0.0.0.0","PublicIPv6":"fd00::1"}';
    expect(parseLeaseValue(text)).toEqual({ publicIpv6: parseIp('fd00::1'), backendType: '' });
    expect(formatLeaseValue(parseLeaseValue(text))).toBe(text);
  });

  test.each([
    ['', 'not valid JSON'],
    ['[]', 'no JSON object but []'],
    ['{}', 'it has no PublicIP'],
    ['{"PublicIP":"0.0.0.0","PublicIPv6":"::"}', 'it has no PublicIP'],
    ['{"PublicIP":"1.2.3"}', 'PublicIP: Invalid IPv4 address "1.2.3"'],
    ['{"PublicIP":16909060}', 'PublicIP is 16909060'],
    ['{"PublicIP":"1.2.3.4","PublicIPv6":"x"}', 'PublicIPv6: Invalid IPv6 address "x"'],
    ['{"PublicIP":"1.2.3.4","BackendType":1}', 'BackendType is 1'],
  ])('parseLeaseValue() refuses %j', (text, message) => {
    expect(() => parseLeaseValue(text)).toThrow(FlannelError);
    expect(() => parseLeaseValue(text)).toThrow(message);
  });
});

describe('isSameNode()', () => {
  const [a, b] = [parseIp('10.0.0.1'), parseIp('10.0.0.2')];
  const [a6, b6] = [parseIp('fd00::1'), parseIp('fd00::2')];
  test.each([
    [{ publicIp: a }, { publicIp: a }, true],
    [{ publicIp: a, publicIpv6: a6 }, { publicIp: a, publicIpv6: b6 }, true],
    [{ publicIp: a, publicIpv6: a6 }, { publicIp: b, publicIpv6: a6 }, false],
    [{ publicIp: a, publicIpv6: a6 }, { publicIpv6: a6 }, true],
    [{ publicIpv6: a6 }, { publicIpv6: a6 }, true],
    [{ publicIpv6: a6 }, { publicIpv6: b6 }, false],
    [{ publicIp: a }, { publicIpv6: a6 }, false],
    [{}, {}, false],
  ])('of %o and %o is %s', (one, other, same) => {
    expect(isSameNode(one, other)).toBe(same);
    expect(isSameNode(other, one)).toBe(same);
  });
});

describe('vxlan data', () => {
  test('parseVxlanData() reads what formatVxlanData() writes, and old leases without VNI', () => {
    const data = parseVxlanData({ vni: 7, vtepmac: 'C6:D2:32:6F:8F:44' });
    expect(JSON.stringify(formatVxlanData(data))).toBe('{"VNI":7,"VtepMAC":"c6:d2:32:6f:8f:44"}');
    expect(parseVxlanData(formatVxlanData(data))).toEqual(data);
    expect(parseVxlanData({ VtepMAC: data.vtepMac }).vni).toBe(0);
  });

  test.each([[undefined], [null], ['x'], [{}], [{ VNI: 1 }], [{ VtepMAC: 'x' }], [{ VtepMAC: 5 }]])(
    'parseVxlanData() refuses %j',
    (value) => {
      expect(() => parseVxlanData(value)).toThrow(/^Invalid vxlan data in a lease: /);
    },
  );
});

describe('wireguard data', () => {
  const publicKey = 'hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=';

  test('parseWireguardData() reads what formatWireguardData() writes, and old leases without Port', () => {
    const data = { publicKey, port: parsePort(51_821) };
    expect(parseWireguardData(formatWireguardData(data))).toEqual(data);
    expect(parseWireguardData({ publickey: publicKey })).toEqual({ publicKey });
    expect(parseWireguardData({ PublicKey: publicKey, Port: 0 })).toEqual({ publicKey });
  });

  test.each([
    [undefined],
    [null],
    ['x'],
    [{}],
    [{ Port: 51820 }],
    [{ PublicKey: 5 }],
    [{ PublicKey: publicKey.slice(0, -1) }],
    [{ PublicKey: `${publicKey.slice(0, -2)}p=` }],
    [{ PublicKey: publicKey, Port: 65_536 }],
  ])('parseWireguardData() refuses %j', (value) => {
    expect(() => parseWireguardData(value)).toThrow(/^Invalid wireguard data in a lease: /);
  });
});
