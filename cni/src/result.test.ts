import type { JsonObject } from '@flannel-ts/flannel/go-json';
import { CniError } from './errors.ts';
import { SUPPORTED_VERSIONS } from './protocol.ts';
import { type CniResult, decodePreviousResult, decodeResult, encodeResult, formatResult } from './result.ts';

const RESULT: CniResult = {
  interfaces: [
    { name: 'cni0', mac: '0a:58:0a:f4:01:01', mtu: 1450 },
    { name: 'eth0', mac: '0a:58:0a:f4:01:05', mtu: 1450, sandbox: '/run/netns/p', pciID: '0:1', socketPath: '/s' },
  ],
  ips: [
    { interface: 1, address: '10.244.1.5/24', gateway: '10.244.1.1' },
    { interface: 1, address: 'fd00:1::5/64', gateway: 'fd00:1::1' },
  ],
  routes: [
    { dst: '10.244.0.0/16' },
    { dst: '0.0.0.0/0', gw: '10.244.1.1', mtu: 1400, advmss: 1360, priority: 10, table: 0, scope: 0 },
    { dst: '::/0', gw: 'fd00:1::1' },
  ],
  dns: {},
};

describe('encodeResult()', () => {
  test.each(['0.1.0', '0.2.0'] as const)('%s holds one address per family and no interfaces (#13)', (version) => {
    expect(encodeResult(RESULT, version)).toEqual({
      cniVersion: version,
      ip4: {
        ip: '10.244.1.5/24',
        gateway: '10.244.1.1',
        routes: [{ dst: '10.244.0.0/16' }, { dst: '0.0.0.0/0', gw: '10.244.1.1' }],
      },
      ip6: { ip: 'fd00:1::5/64', gateway: 'fd00:1::1', routes: [{ dst: '::/0', gw: 'fd00:1::1' }] },
      dns: {},
    });
  });

  test.each(['0.3.0', '0.3.1', '0.4.0'] as const)('%s names the family in each address (#13)', (version) => {
    const body = encodeResult(RESULT, version);
    expect(body.cniVersion).toBe(version);
    expect(body.ips).toEqual([
      { version: '4', interface: 1, address: '10.244.1.5/24', gateway: '10.244.1.1' },
      { version: '6', interface: 1, address: 'fd00:1::5/64', gateway: 'fd00:1::1' },
    ]);
    expect(body.interfaces).toEqual([
      { name: 'cni0', mac: '0a:58:0a:f4:01:01' },
      { name: 'eth0', mac: '0a:58:0a:f4:01:05', sandbox: '/run/netns/p' },
    ]);
    expect(body.dns).toEqual({});
  });

  test.each(['1.0.0', '1.1.0'] as const)('%s leaves the family and an empty dns out (#13)', (version) => {
    const body = encodeResult(RESULT, version);
    expect(body.ips).toEqual(RESULT.ips);
    expect(body.interfaces).toEqual(RESULT.interfaces);
    expect(body.routes).toEqual(RESULT.routes);
    expect('dns' in body).toBe(false);
  });

  test('writes an index of 0', () => {
    const body = encodeResult({ ...RESULT, ips: [{ interface: 0, address: '10.0.0.2/24' }] }, '1.0.0');
    expect(body.ips).toEqual([{ interface: 0, address: '10.0.0.2/24' }]);
  });

  test('refuses 0.2.0 without any address', () => {
    expect(() => encodeResult({ ...RESULT, ips: [] }, '0.2.0')).toThrow('cannot convert: no valid IP addresses');
  });
});

test('formatResult() prints as Go does: four blanks, no line feed at the end', () => {
  const text = formatResult({ interfaces: [], ips: [{ address: '10.0.0.2/24' }], routes: [], dns: {} }, '1.0.0');
  expect(text).toBe(
    '{\n    "cniVersion": "1.0.0",\n    "ips": [\n        {\n            "address": "10.0.0.2/24"\n        }\n    ]\n}',
  );
});

describe('decodeResult()', () => {
  test.each(SUPPORTED_VERSIONS)('reads what encodeResult() wrote in %s', (version) => {
    const once = encodeResult(RESULT, version);
    const decoded = decodeResult(JSON.parse(JSON.stringify(once)), version);
    expect(encodeResult(decoded, version)).toEqual(once);
    expect(decoded.ips.map((ip) => ip.address)).toEqual(['10.244.1.5/24', 'fd00:1::5/64']);
    expect(decoded.routes).toHaveLength(3);
  });

  test('uses the version of the configuration when there is none', () => {
    expect(decodeResult({ ip4: { ip: '10.0.0.2/24' } }, '0.2.0').ips).toEqual([{ address: '10.0.0.2/24' }]);
    expect(decodeResult({ ips: [{ address: '10.0.0.2/24' }] }, '1.0.0').ips).toEqual([{ address: '10.0.0.2/24' }]);
  });

  test.each([
    ['an unknown version', { cniVersion: '7.0.0' }],
    ['an index out of bounds', { interfaces: [{ name: 'a' }], ips: [{ interface: 1, address: '10.0.0.2/24' }] }],
    ['a negative index', { interfaces: [{ name: 'a' }], ips: [{ interface: -1, address: '10.0.0.2/24' }] }],
    ['an address that is a number', { ips: [{ address: 7 }] }],
    ['a route without destination', { routes: [{}] }],
    ['interfaces that are no list', { interfaces: {} }],
  ])('refuses %s', (_what, body) => {
    expect(() => decodeResult(body as unknown as JsonObject, '1.0.0')).toThrow(CniError);
  });
});

test('decodePreviousResult() accepts dns:{} and an absent result (#16)', () => {
  expect(decodePreviousResult({ prevResult: { dns: {} } }, '1.0.0')).toMatchObject({ ips: [], interfaces: [] });
  expect(decodePreviousResult({}, '1.0.0')).toBeUndefined();
});
