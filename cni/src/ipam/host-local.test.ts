import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonObject } from '@flannel-ts/flannel/go-json';
import { formatIp, parseIp } from '@flannel-ts/inet/ip';
import { readIp } from './address.ts';
import { parseHostLocal } from './config.ts';
import {
  heldAddresses,
  ipamResult,
  parseResolvConf,
  releaseAddresses,
  reserveAddresses,
  returnAddresses,
} from './host-local.ts';
import { Store } from './store.ts';

const OWNER = { containerId: 'c1', ifName: 'eth0' };
const net1 = { containerId: 'c1', ifName: 'net1' };

describe('host-local', () => {
  let dataDir: string;
  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'fltest-ipam-'));
  });
  afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

  const ranges = [[{ subnet: '10.1.2.0/29' }], [{ subnet: 'fd00:1::/64' }]];
  const configure = (extra: JsonObject = {}, ipam: JsonObject = { ranges }) =>
    parseHostLocal({ ipam: { dataDir, ...ipam }, ...extra }, 'n', '1.0.0', new Map());
  const files = (): string[] => readdirSync(join(dataDir, 'n')).sort();
  const reserve = (config = configure(), owner = OWNER, mayHoldAddress = false): string[] =>
    reserveAddresses(new Store(config.directory), config, owner, mayHoldAddress).map(({ ip }) => formatIp(ip));

  test('reserveAddresses() reserves one address of each range set', () => {
    expect(reserve()).toEqual(['10.1.2.2', 'fd00:1::2']);
    expect(files()).toEqual(['10.1.2.2', 'fd00:1::2', 'last_reserved_ip.0', 'last_reserved_ip.1', 'lock']);
  });

  test('reserveAddresses() refuses a second address and keeps the first (#27)', () => {
    reserve();
    expect(() => reserve(configure(), OWNER, true)).toThrow(
      expect.objectContaining({
        message:
          'failed to allocate for range 0: 10.1.2.2 has been allocated to c1, duplicate allocation is not allowed',
      }),
    );
    expect(reserve(configure(), net1, true)).toEqual(['10.1.2.3', 'fd00:1::3']);
  });

  test('reserveAddresses() gives back the first set when the second has no address left (#29)', () => {
    const config = configure({}, { ranges: [[{ subnet: 'fd00:1::/64' }], [{ subnet: '10.1.2.0/30' }]] });
    expect(reserve(config)).toEqual(['fd00:1::2', '10.1.2.2']);
    expect(() => reserve(config, net1)).toThrow('no IP addresses available in range set: 10.1.2.1-10.1.2.2');
    expect(files().filter((name) => name.startsWith('fd'))).toEqual(['fd00:1::2']);
  });

  test.each([
    ['10.1.2.1', "requested ip 10.1.2.1 is subnet's gateway"],
    ['10.1.2.2', 'requested IP address 10.1.2.2 is not available in range set 10.1.2.1-10.1.2.6'],
    ['10.9.9.9', 'failed to allocate all requested IPs: 10.9.9.9'],
  ])('reserveAddresses() refuses the requested address %s and leaves nothing (#31)', (address, message) => {
    reserve();
    const before = files();
    const config = configure({ runtimeConfig: { ips: [address] } });
    expect(() => reserve(config, net1)).toThrow(message);
    expect(files()).toEqual(before);
  });

  test('reserveAddresses() grants a free requested address (#31)', () => {
    expect(reserve(configure({ args: { cni: { ips: ['10.1.2.5/29'] } } }))).toEqual(['10.1.2.5', 'fd00:1::2']);
  });

  test('returnAddresses() gives back these and no others', () => {
    const config = configure();
    const store = new Store(config.directory);
    const first = reserveAddresses(store, config, OWNER, false);
    reserve(config, net1);
    returnAddresses(store, OWNER, first);
    expect(files().filter((name) => readIp(name) !== undefined)).toEqual(['10.1.2.3', 'fd00:1::3']);
  });

  const held = (owner: typeof OWNER, hints: readonly string[], expected: number, areAll = false): string[] => {
    const store = new Store(join(dataDir, 'n'));
    return heldAddresses(store, owner, { addresses: hints.map((text) => parseIp(text)), expected, areAll }).map(
      formatIp,
    );
  };

  test('heldAddresses() needs no hints, and a store that is not there holds nothing (#44)', () => {
    expect(held(OWNER, [], 1)).toEqual([]);
    reserve();
    expect(held(OWNER, [], 2)).toHaveLength(2);
    const store = new Store(join(dataDir, 'n'));
    releaseAddresses(
      store,
      OWNER,
      held(OWNER, [], 2).map((text) => parseIp(text)),
    );
    expect(held(OWNER, [], 2)).toEqual([]);
    expect(files().some((name) => readIp(name) !== undefined)).toBe(false);
  });

  test('heldAddresses() looks further when the hints are wrong or too few, unless they are all there is', () => {
    reserve();
    const hints = ['10.1.2.6', '10.1.2.2'];
    expect(held(OWNER, hints, 2)).toEqual(['10.1.2.2', 'fd00:1::2']);
    expect(held(OWNER, hints, 2, true)).toEqual(['10.1.2.2']);
  });

  test('heldAddresses() leaves the address of a hint that belongs to somebody else', () => {
    reserve();
    expect(held(net1, ['10.1.2.2'], 1)).toEqual([]);
  });

  test('ipamResult() holds address, gateway, routes and resolvConf', () => {
    const resolvConf = join(dataDir, 'resolv.conf');
    writeFileSync(resolvConf, '# x\nnameserver 10.0.0.10\nsearch a b\noptions ndots:5\ndomain d\n');
    const config = configure({}, { ranges: ranges.slice(0, 1), routes: [{ dst: '10.1.0.0/16' }], resolvConf });
    const result = ipamResult(config, reserveAddresses(new Store(config.directory), config, OWNER, false));
    expect(result).toEqual({
      interfaces: [],
      ips: [{ address: '10.1.2.2/29', gateway: '10.1.2.1' }],
      routes: [{ dst: '10.1.0.0/16' }],
      dns: { nameservers: ['10.0.0.10'], search: ['a', 'b'], options: ['ndots:5'], domain: 'd' },
    });
  });
});

test('parseResolvConf() skips comments and empty lines', () => {
  expect(parseResolvConf('; a\n\nnameserver\nnameserver 1.1.1.1 \n')).toEqual({
    nameservers: ['1.1.1.1'],
    search: [],
    options: [],
  });
});
