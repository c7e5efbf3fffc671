import { addressBits, FAMILIES } from '@flannel-ts/inet/family';
import { formatIp, type Ip, ipFromNumber } from '@flannel-ts/inet/ip';
import { formatPrefix, prefixContains, prefixFrom } from '@flannel-ts/inet/prefix';
import fc from 'fast-check';
import { formatBackendConfig, parseBackendConfig } from './backend-config.ts';
import { FlannelError } from './errors.ts';
import {
  formatNetworkConfig,
  KNOWN_BACKENDS,
  outerFamilies,
  outerFamily,
  parseNetworkConfig,
} from './network-config.ts';
import type { SubnetPool } from './subnet-pool.ts';

const parse = (config: object) => parseNetworkConfig(JSON.stringify(config));
/** Network, SubnetLen, SubnetMin and SubnetMax. */
const textOf = (pool: SubnetPool | undefined) =>
  pool && [formatPrefix(pool.network), pool.subnetLength, formatIp(pool.subnetMin), formatIp(pool.subnetMax)];

describe('network config', () => {
  // flannel: subnet/config_test.go.
  test('parseNetworkConfig() fills in the defaults of 10.3.0.0/16', () => {
    const config = parseNetworkConfig('{ "network": "10.3.0.0/16" }');
    expect(textOf(config.pools[4])).toEqual(['10.3.0.0/16', 24, '10.3.1.0', '10.3.255.0']);
    expect(config.pools[6]).toBeUndefined();
    expect(config.enableNftables).toBe(false);
    expect(config.backend).toEqual({ type: 'udp', port: 8285 });
  });

  test('parseNetworkConfig() fills in the defaults of fc00::/48', () => {
    const config = parseNetworkConfig('{ "enableIPv6": true, "ipv6Network": "fc00::/48", "enableIPv4": false }');
    expect(textOf(config.pools[6])).toEqual(['fc00::/48', 64, 'fc00:0:0:1::', 'fc00:0:0:ffff::']);
    expect(config.pools[4]).toBeUndefined();
  });

  test('parseNetworkConfig() reads overrides', () => {
    const config = parse({ Network: '10.3.0.0/16', SubnetMin: '10.3.5.0', SubnetMax: '10.3.8.0', SubnetLen: 28 });
    expect(textOf(config.pools[4])).toEqual(['10.3.0.0/16', 28, '10.3.5.0', '10.3.8.0']);
  });

  test('parseNetworkConfig() reads IPv6 overrides', () => {
    const config = parse({
      EnableIPv6: true,
      IPv6Network: 'fc00::/48',
      IPv6SubnetMin: 'fc00:0:0:1::',
      IPv6SubnetMax: 'fc00:0:0:f::',
      IPv6SubnetLen: 124,
      enableIPv4: false,
    });
    expect(textOf(config.pools[6])).toEqual(['fc00::/48', 124, 'fc00:0:0:1::', 'fc00:0:0:f::']);
  });

  test.each([
    ['10.0.0.0/22', 24],
    ['10.0.0.0/23', 25],
    ['10.0.0.0/24', 26],
    ['10.0.0.0/28', 30],
    ['10.0.0.0/8', 24],
  ])('parseNetworkConfig() gives %s the subnet length %d', (network, length) => {
    expect(parse({ Network: network }).pools[4]?.subnetLength).toBe(length);
  });

  test.each([
    ['fd00::/62', 64],
    ['fd00::/63', 65],
    ['fd00::/124', 126],
  ])('parseNetworkConfig() gives %s the subnet length %d', (network, length) => {
    expect(parse({ EnableIPv4: false, EnableIPv6: true, IPv6Network: network }).pools[6]?.subnetLength).toBe(length);
  });

  test('parseNetworkConfig() masks the network, ignores letter case, nulls and unknown keys', () => {
    const config = parse({ NETWORK: '10.3.7.9/16', subnetlen: null, SubnetMin: '0.0.0.0', Future: { x: 1 } });
    expect(textOf(config.pools[4])).toEqual(['10.3.0.0/16', 24, '10.3.1.0', '10.3.255.0']);
  });

  // flannel's texts, as far as people search for them, with the value behind.
  test.each([
    [{}, 'please define a correct Network parameter in the flannel config'],
    [{ Network: '0.0.0.0/0' }, 'please define a correct Network parameter in the flannel config'],
    [{ Network: '10.3.0.0' }, 'Network: Invalid IPv4 prefix "10.3.0.0"'],
    [{ Network: 'fd00::/48' }, 'Network: Invalid IPv4 prefix "fd00::/48"'],
    [{ Network: '10.3.0.0/29' }, 'Network is too small. Minimum useful network prefix is /28: Network is 10.3.0.0/29'],
    [{ Network: '10.3.0.0/16', SubnetLen: 31 }, 'SubnetLen must be less than /31: SubnetLen is 31'],
    [
      { Network: '10.3.0.0/16', SubnetLen: 17 },
      'network must be able to accommodate at least four subnets: SubnetLen 17',
    ],
    [{ Network: '10.3.0.0/16', SubnetLen: '24' }, 'SubnetLen is "24": write a whole number'],
    [{ Network: '10.3.0.0/16', SubnetLen: -1 }, 'SubnetLen is -1'],
    [{ Network: '10.3.0.0/16', SubnetMin: '10.4.0.0' }, 'SubnetMin is not in the range of the Network: 10.4.0.0'],
    [{ Network: '10.3.0.0/16', SubnetMax: '10.2.0.0' }, 'SubnetMax is not in the range of the Network: 10.2.0.0'],
    [{ Network: '10.3.0.0/16', SubnetMin: '10.3.1.7' }, 'SubnetMin is not on a SubnetLen boundary: 10.3.1.7'],
    [{ Network: '10.3.0.0/16', SubnetMax: '10.3.1.7' }, 'SubnetMax is not on a SubnetLen boundary: 10.3.1.7'],
    [
      { Network: '10.3.0.0/16', SubnetMin: '10.3.9.0', SubnetMax: '10.3.8.0' },
      'SubnetMin 10.3.9.0 is after SubnetMax 10.3.8.0',
    ],
    [{ Network: '10.3.0.0/16', SubnetMin: 'x' }, 'SubnetMin: Invalid IPv4 address "x"'],
    [{ EnableIPv4: false }, 'EnableIPv4 and EnableIPv6 are both false'],
    [{ EnableIPv4: 'no' }, 'EnableIPv4 is "no": write true or false'],
    [{ Network: '10.3.0.0/16', EnableIPv6: true }, 'please define a correct IPv6Network parameter'],
    [{ EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fd00::/125' }, 'IPv6Network is too small'],
    [
      { EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fd00::/64', IPv6SubnetLen: 127 },
      'SubnetLen must be less than /127',
    ],
    [
      { EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fd00::/48', IPv6SubnetMin: 'fd00::1' },
      'IPv6SubnetMin is not on a SubnetLen boundary: fd00::1',
    ],
  ])('parseNetworkConfig() refuses %j: %s', (config, message) => {
    const attempt = () => parse(config);
    expect(attempt).toThrow(FlannelError);
    expect(attempt).toThrow(message);
  });

  test.each(['', 'x', '[]', 'null', '"10.3.0.0/16"', '{'])('parseNetworkConfig() refuses the text %j', (text) => {
    expect(() => parseNetworkConfig(text)).toThrow(/^Invalid network config: the text is /);
  });

  test('parseNetworkConfig() throws nothing but FlannelError', () => {
    const value = fc.oneof(
      fc.ipV4(),
      fc.ipV4().map((ip) => `${ip}/24`),
      fc.jsonValue(),
    );
    const keys = [
      'Network',
      'SubnetLen',
      'SubnetMin',
      'SubnetMax',
      'EnableIPv6',
      'IPv6Network',
      'Backend',
      '__proto__',
    ];
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...keys), value), (config) => {
        try {
          parse(config);
        } catch (error) {
          expect(error).toBeInstanceOf(FlannelError);
        }
      }),
    );
  });

  test.each(FAMILIES)(
    'parseNetworkConfig() keeps SubnetMin and SubnetMax of IPv%d aligned, ordered and inside',
    (family) => {
      const bits = addressBits(family);
      const base = fc.bigInt(0n, (1n << BigInt(bits)) - 1n).map((n) => ipFromNumber(family, n));
      fc.assert(
        fc.property(base, fc.integer({ min: 1, max: bits - 4 }), (ip, length) => {
          const network = formatPrefix(prefixFrom<Ip>(ip, length));
          const config = parse(
            family === 4 ? { Network: network } : { EnableIPv4: false, EnableIPv6: true, IPv6Network: network },
          );
          const pool = config.pools[family]!;
          for (const bound of [pool.subnetMin, pool.subnetMax]) {
            expect(prefixContains(pool.network, bound)).toBe(true);
            expect(prefixFrom<Ip>(bound, pool.subnetLength).base).toBe(bound);
          }
          const size = 1n << BigInt(bits - pool.subnetLength);
          expect((BigInt(pool.subnetMax) - BigInt(pool.subnetMin)) / size).toBeGreaterThanOrEqual(2n);
        }),
      );
    },
  );

  test.each([
    { Network: '10.3.0.0/16' },
    { Network: '10.3.0.0/16', Backend: { Type: 'host-gw' }, EnableNFTables: true },
    {
      Network: '10.3.0.0/16',
      Backend: { Type: 'udp', Engine: 'reference', Offload: false, BusyPollUs: 0, SourcePorts: 1 },
    },
    { EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fc00::/48', Backend: { Type: 'udp', Mode: 'ipv4' } },
    { Network: '10.3.0.0/16', Backend: { Type: 'vxlan', VNI: 7, DirectRouting: true, MTU: 1400 } },
    { Network: '10.3.0.0/16', EnableIPv6: true, IPv6Network: 'fc00::/48', Backend: { Type: 'vxlan' } },
    { EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fc00::/48', Backend: { Type: 'vxlan' } },
  ])('formatNetworkConfig() and parseNetworkConfig() are inverse for %j', (input) => {
    const config = parse(input);
    expect(parseNetworkConfig(formatNetworkConfig(config))).toEqual(config);
  });

  const IPV6 = { EnableIPv6: true, IPv6Network: 'fc00::/48' };
  test.each([
    [{ Network: '10.3.0.0/16' }, undefined, 4],
    [{ Network: '10.3.0.0/16', ...IPV6 }, undefined, 4],
    [{ Network: '10.3.0.0/16', ...IPV6 }, 'ipv6', 6],
    [{ EnableIPv4: false, ...IPV6 }, undefined, 6],
    [{ EnableIPv4: false, ...IPV6 }, 'ipv4', 4],
  ])('outerFamily() of %j with Mode %s is %s', (network, Mode, expected) => {
    expect(outerFamily(parse({ ...network, Backend: { Type: 'udp', Mode } }))).toBe(expected);
  });

  test.each([
    [{ Network: '10.3.0.0/16', ...IPV6, Backend: { Type: 'udp', Mode: 'ipv6' } }, [6]],
    [{ Network: '10.3.0.0/16', ...IPV6 }, [4]],
    [{ Network: '10.3.0.0/16', Backend: { Type: 'vxlan' } }, [4]],
    [{ Network: '10.3.0.0/16', ...IPV6, Backend: { Type: 'vxlan' } }, [4, 6]],
    [{ EnableIPv4: false, ...IPV6, Backend: { Type: 'host-gw' } }, [6]],
  ])('outerFamilies() of %j is %j', (network, expected) => {
    expect(outerFamilies(parse(network))).toEqual(expected);
  });

  test('parseNetworkConfig() refuses IPv4 alone over IPv6, where no lease could say so', () => {
    expect(() => parse({ Network: '10.3.0.0/16', Backend: { Type: 'udp', Mode: 'ipv6' } })).toThrow(
      'Mode "ipv6" of the udp backend needs EnableIPv6: set EnableIPv6 to true with an IPv6Network, or Mode to "ipv4"',
    );
  });

  test('formatNetworkConfig() writes Mode when it was given, and only then', () => {
    const text = (backend: object) => formatNetworkConfig(parse({ Network: '10.3.0.0/16', ...IPV6, Backend: backend }));
    expect(text({ Type: 'udp', Mode: 'ipv6' })).toContain('"Backend":{"Type":"udp","Port":8285,"Mode":"ipv6"}');
    expect(text({ Type: 'udp' })).toContain('"Backend":{"Type":"udp","Port":8285}');
  });

  test('formatNetworkConfig() writes the defaults out', () => {
    expect(formatNetworkConfig(parse({ Network: '10.244.0.0/16' }))).toBe(
      '{"Network":"10.244.0.0/16","SubnetLen":24,"SubnetMin":"10.244.1.0","SubnetMax":"10.244.255.0","Backend":{"Type":"udp","Port":8285}}',
    );
  });
});

describe('backend config', () => {
  const backend = (value: unknown) => parse({ Network: '10.3.0.0/16', Backend: value }).backend;

  test('parseBackendConfig() ignores letter case in the type and the keys', () => {
    expect(backend({ type: 'UDP', PORT: 9000 })).toEqual({ type: 'udp', port: 9000 });
    expect(backend({ TYPE: 'Host-GW' })).toEqual({ type: 'host-gw' });
  });

  test('parseBackendConfig() reads our own keys of udp, and leaves out what is not given', () => {
    const ours = { Engine: 'fast', Offload: true, BusyPollUs: 50, SourcePorts: 8 };
    expect(backend({ Type: 'udp', ...ours })).toEqual({
      type: 'udp',
      port: 8285,
      engine: 'fast',
      offload: true,
      busyPollUs: 50,
      sourcePorts: 8,
    });
    expect(backend({ Type: 'udp', Offload: null })).toEqual({ type: 'udp', port: 8285 });
  });

  test('parseBackendConfig() fills in the defaults of vxlan', () => {
    expect(backend({ Type: 'vxlan', Port: 0 })).toEqual({
      type: 'vxlan',
      vni: 1,
      port: 8472,
      gbp: false,
      learning: false,
      directRouting: false,
    });
  });

  test('parseBackendConfig() fills in the defaults of ipip and wireguard', () => {
    expect(backend({ Type: 'ipip' })).toEqual({ type: 'ipip', directRouting: false });
    expect(backend({ Type: 'wireguard', ListenPort: 0, PSK: '' })).toEqual({
      type: 'wireguard',
      listenPort: 51820,
      listenPortV6: 51821,
      mode: 'separate',
      persistentKeepaliveInterval: 0,
    });
  });

  test.each([
    { Type: 'vxlan', VNI: 7, Port: 4789, GBP: true, Learning: true, DirectRouting: true, MTU: 9000 },
    { Type: 'alloc' },
    { Type: 'ipip', DirectRouting: true },
    {
      Type: 'wireguard',
      ListenPort: 51900,
      ListenPortV6: 51901,
      MTU: 1400,
      PSK: `${'A'.repeat(43)}=`,
      PersistentKeepaliveInterval: 25,
      Mode: 'auto',
    },
  ])('formatBackendConfig() writes all that parseBackendConfig() reads in %j', (value) => {
    expect(formatBackendConfig(parseBackendConfig(value))).toEqual(value);
  });

  test.each([7, 'hunter2', ['secret'], `${'A'.repeat(42)}B=`])(
    'parseBackendConfig() refuses the PSK %j without showing it',
    (PSK) => {
      const refused = () => backend({ Type: 'wireguard', PSK });
      expect(refused).toThrow('PSK is no WireGuard key: write what "wg genpsk" prints');
      expect(refused).not.toThrow(String(PSK));
    },
  );

  test.each([
    [{ Type: 'vxlam' }, 'Unknown backend type: vxlam, use one of udp, '],
    [{}, 'Unknown backend type: none given, use one of udp, '],
    [{ Type: 'constructor' }, 'Unknown backend type: constructor'],
    [{ Type: 'extension' }, 'Backend type extension is refused: it runs commands of the network config as root'],
    [{ Type: 'IPsec' }, 'Backend type ipsec is refused: it needs the daemon of strongSwan'],
    [
      { Type: 'tencent-vpc' },
      'Backend type tencent-vpc is refused: it needs keys of a cloud account on every node; use ',
    ],
    [{ Type: 'gce' }, 'Backend type gce is refused: flannel itself has removed it in v0.20; use '],
  ])('parseBackendConfig() refuses the type in %j', (value, message) => {
    expect(KNOWN_BACKENDS).toEqual(['udp', 'vxlan', 'host-gw', 'alloc', 'ipip', 'wireguard']);
    expect(() => backend(value)).toThrow(expect.objectContaining({ code: 'UNKNOWN_BACKEND' }));
    expect(() => backend(value)).toThrow(message);
  });

  test.each([
    ['udp', 'it is "udp": write an object'],
    [{ Type: 5 }, 'Type is 5: write a string'],
    [{ Type: 'udp', Port: 65536 }, 'Port is 65536: write a whole number from 0 to 65535'],
    [{ Type: 'udp', Port: '8285' }, 'Port is "8285"'],
    [{ Type: 'udp', Engine: 'slow' }, 'Engine: "slow" is no engine, use one of auto, ebpf, fast, reference'],
    [{ Type: 'udp', Mode: 'separate' }, 'Mode: "separate" is no mode of udp, use one of ipv4, ipv6'],
    [{ Type: 'udp', Mode: 6 }, 'Mode is 6: write a string'],
    [{ Type: 'udp', Offload: 'false' }, 'Offload is "false": write true or false, without quotes'],
    [{ Type: 'udp', BusyPollUs: 10_001 }, 'BusyPollUs is 10001: write a whole number from 0 to 10000'],
    [{ Type: 'udp', SourcePorts: 17 }, 'SourcePorts is 17: write a whole number from 1 to 16'],
    [{ Type: 'vxlan', VNI: 0 }, 'VNI is 0'],
    [{ Type: 'vxlan', VNI: 16777216 }, 'VNI is 16777216'],
    [{ Type: 'vxlan', DirectRouting: 1 }, 'DirectRouting is 1'],
    [{ Type: 'vxlan', Port: -1 }, 'Port is -1: write a whole number from 0 to 65535'],
    [{ Type: 'vxlan', GBP: 'yes' }, 'GBP is "yes": write true or false'],
    [{ Type: 'vxlan', Learning: 0 }, 'Learning is 0: write true or false'],
    [{ Type: 'vxlan', MTU: '1400' }, 'MTU is "1400": write a whole number'],
    [{ Type: 'ipip', DirectRouting: 'yes' }, 'DirectRouting is "yes"'],
    [{ Type: 'wireguard', ListenPortV6: 65536 }, 'ListenPortV6 is 65536'],
    [{ Type: 'wireguard', PersistentKeepaliveInterval: -1 }, 'PersistentKeepaliveInterval is -1'],
    [
      { Type: 'wireguard', Mode: 'both' },
      'Mode: "both" is no mode of wireguard, use one of separate, auto, ipv4, ipv6',
    ],
  ])('parseBackendConfig() refuses %j', (value, message) => {
    expect(() => backend(value)).toThrow(`Invalid Backend in the network config: ${message}`);
  });
});

describe("config of flannel's other backends", () => {
  const PSK = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=';
  const backend = (value: object, network: object = {}) =>
    parse({ Network: '10.3.0.0/16', ...network, Backend: value });
  const IPV6 = { EnableIPv6: true, IPv6Network: 'fc00::/48' };

  test.each([
    [{ Type: 'ipip' }, IPV6, 'the ipip backend carries IPv4 only: set EnableIPv6 to false'],
    [{ Type: 'wireguard', ListenPortV6: 51820 }, IPV6, 'ListenPort and ListenPortV6 are both 51820'],
    [{ Type: 'wireguard', Mode: 'ipv6' }, {}, 'Mode "ipv6" of the wireguard backend needs EnableIPv6'],
    [
      { Type: 'vxlan', MTU: 600 },
      {},
      'MTU 600 of the vxlan backend leaves 550 bytes for packets of pods: set it to 626 or more',
    ],
    [{ Type: 'vxlan', MTU: 1340 }, IPV6, 'leaves 1270 bytes for packets of pods: set it to 1350 or more'],
    [{ Type: 'wireguard', MTU: 600 }, {}, 'leaves 520 bytes for packets of pods: set it to 656 or more'],
  ])('parseNetworkConfig() refuses %j with %j: %s', (value, network, message) => {
    expect(() => backend(value, network)).toThrow(message);
  });

  test.each([
    [{ Type: 'wireguard', ListenPortV6: 51820 }, {}, [4]],
    [{ Type: 'wireguard' }, IPV6, [4, 6]],
    [{ Type: 'wireguard', Mode: 'auto' }, IPV6, [4, 6]],
    [{ Type: 'wireguard', Mode: 'ipv4' }, IPV6, [4]],
    [{ Type: 'wireguard', Mode: 'ipv6' }, IPV6, [6]],
    [{ Type: 'alloc' }, IPV6, [4, 6]],
    [{ Type: 'ipip' }, {}, [4]],
  ])('outerFamilies() with %j and %j is %j, with outerFamily() first', (value, network, expected) => {
    const config = backend(value, network);
    expect(outerFamilies(config)).toEqual(expected);
    expect(outerFamily(config)).toBe(expected[0]);
    expect(parseNetworkConfig(formatNetworkConfig(config))).toEqual(config);
  });

  test('formatNetworkConfig() and parseNetworkConfig() are inverse for options of wireguard and ipip', () => {
    const wireguard = { Type: 'wireguard', MTU: 1400, PSK, PersistentKeepaliveInterval: 25, Mode: 'ipv4' };
    for (const value of [wireguard, { Type: 'ipip', DirectRouting: true }]) {
      const config = backend(value);
      expect(parseNetworkConfig(formatNetworkConfig(config))).toEqual(config);
    }
  });
});

test('parseNetworkConfig() shows no part of a text that is no JSON and may hold a key', () => {
  const attempt = () => parseNetworkConfig('{"Backend":{"PSK":secretsecret}}');
  expect(attempt).toThrow('Invalid network config: the text is not valid JSON');
  expect(attempt).toThrow(expect.objectContaining({ message: expect.not.stringContaining('secret') }));
});

test.each([
  ['a byte order mark', '\uFEFF{"Network":"10.5.0.0/16"}'],
  ['a newline at the end', '{"Network":"10.5.0.0/16"}\n'],
  ['Windows line ends', '{\r\n"Network":"10.5.0.0/16"\r\n}\r\n'],
])('parseNetworkConfig() takes JSON with %s', (_, text) => {
  expect(parseNetworkConfig(text)).toEqual(parseNetworkConfig('{"Network":"10.5.0.0/16"}'));
});

test.each([
  ['backslashes before the quotes', '{\\"Network\\":\\"10.5.0.0/16\\"}', 'there are backslashes before its quotes'],
  ['a JSON string', JSON.stringify('{"Network":"10.5.0.0/16"}'), 'the JSON is inside double quotes'],
  ['double quotes around it', '"{"Network":"10.5.0.0/16"}"', 'the JSON is inside double quotes'],
  ['single quotes around it', '\'{"Network":"10.5.0.0/16"}\'\n', 'the JSON is inside single quotes'],
])('parseNetworkConfig() refuses %s with one sentence that says what to store', (_, text, message) => {
  expect(() => parseNetworkConfig(text)).toThrow(message);
  expect(() => parseNetworkConfig(text)).toThrow('like {"Network":"10.244.0.0/16"}');
});
