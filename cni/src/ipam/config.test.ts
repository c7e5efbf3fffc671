import type { JsonObject } from '@flannel-ts/flannel/go-json';
import { formatIp } from '@flannel-ts/inet/ip';
import { parseCniArgs } from '../protocol.ts';
import { formatRangeSet } from './allocate.ts';
import { parseHostLocal, storeDirectory } from './config.ts';

const parse = (conf: JsonObject, args = '', version: '0.2.0' | '1.0.0' = '1.0.0') =>
  parseHostLocal(conf, 'cbr0', version, parseCniArgs(args, ['IP', 'MAC']));
const ranges = (conf: JsonObject): string[] => parse(conf).rangeSets.map(formatRangeSet);

test('storeDirectory() is dataDir/network, host-local default included', () => {
  expect(storeDirectory({ ipam: {} }, 'cbr0')).toBe('/var/lib/cni/networks/cbr0');
  expect(storeDirectory({}, 'cbr0')).toBe('/var/lib/cni/networks/cbr0');
  expect(storeDirectory({ ipam: { dataDir: '/x/' } }, 'n')).toBe('/x/n');
});

describe('parseHostLocal()', () => {
  test('orders range sets: the runtime, the flat form, ranges', () => {
    expect(
      ranges({
        ipam: { subnet: '10.2.0.0/24', rangeStart: '10.2.0.9', ranges: [[{ subnet: '10.3.0.0/24' }]] },
        RuntimeConfig: { ipRanges: [[{ subnet: '10.1.0.0/24', rangeEnd: '10.1.0.9' }]] },
      }),
    ).toEqual(['10.1.0.1-10.1.0.9', '10.2.0.9-10.2.0.254', '10.3.0.1-10.3.0.254']);
  });

  test('reads requested addresses from all three places (#31)', () => {
    const conf = {
      ipam: { subnet: '10.2.0.0/24' },
      args: { cni: { ips: ['10.2.0.6/24', '10.2.0.5'] } },
      runtimeConfig: { ips: ['10.2.0.7'] },
    };
    expect(parse(conf, 'IP=10.2.0.5').requested.map(formatIp)).toEqual(['10.2.0.5', '10.2.0.6', '10.2.0.7']);
  });

  test.each([
    [{}, "IPAM config missing 'ipam' key"],
    [{ ipam: {} }, 'no IP ranges specified'],
    [{ ipam: { ranges: [[{ subnet: '10.0.0.0/31' }]] } }, 'invalid range set 0: Network 10.0.0.0/31 too small'],
    [{ ipam: { ranges: [7] } }, 'ipam.ranges[0] must be a list of ranges'],
    [{ ipam: { subnet: '10.2.0.0/24' }, runtimeConfig: { ips: ['x'] } }, 'invalid requested IP address: x'],
  ])('refuses %j', (conf, message) => {
    expect(() => parse(conf as unknown as JsonObject)).toThrow(message);
  });

  test('refuses two addresses of a family before 0.3.0', () => {
    const conf = { ipam: { ranges: [[{ subnet: '10.1.0.0/24' }], [{ subnet: '10.2.0.0/24' }]] } };
    expect(() => parse(conf, '', '0.2.0')).toThrow('CNI version 0.2.0 does not support more than 1 address per family');
    expect(parse(conf).rangeSets).toHaveLength(2);
  });
});
