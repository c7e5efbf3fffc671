import type { Family } from '@flannel-ts/inet/family';
import { parseBackendConfig } from './backend-config.ts';
import { backendNeeds, backendOverhead, describeCarriers, innerMtu } from './backend-needs.ts';

const udp = (port: number, outer: Family = 4) => ({ outer, protocol: 'udp', port, symmetric: true });
const vxlan = (port: number, outer: Family = 4) => ({ ...udp(port, outer), symmetric: false });
const ipip = { outer: 4, protocol: 'ipip', symmetric: true };

describe('backendNeeds()', () => {
  test.each([
    [
      { Type: 'udp', Port: 9000 },
      { carriers: [udp(9000)], barePackets: false, oneLink: false },
    ],
    [
      { Type: 'udp', SourcePorts: 8 },
      { carriers: [{ ...udp(8285), symmetric: false }], barePackets: false, oneLink: false },
    ],
    [{ Type: 'vxlan' }, { carriers: [vxlan(8472)], barePackets: false, oneLink: false, linkKind: 'vxlan' }],
    [
      { Type: 'vxlan', Port: 4789, DirectRouting: true },
      { carriers: [vxlan(4789)], barePackets: true, oneLink: false, linkKind: 'vxlan' },
    ],
    [{ Type: 'host-gw' }, { carriers: [], barePackets: true, oneLink: true }],
    [{ Type: 'ipip' }, { carriers: [ipip], barePackets: false, oneLink: false, linkKind: 'ipip' }],
    [
      { Type: 'ipip', DirectRouting: true },
      { carriers: [ipip], barePackets: true, oneLink: false, linkKind: 'ipip' },
    ],
    [
      { Type: 'wireguard', ListenPort: 51900 },
      { carriers: [udp(51900)], barePackets: false, oneLink: false, linkKind: 'wireguard' },
    ],
    [{ Type: 'alloc' }, { carriers: [], barePackets: true, oneLink: false }],
  ])('of %j between IPv4 addresses', (backend, needs) => {
    expect(backendNeeds(parseBackendConfig(backend), [4])).toEqual(needs);
  });

  test.each([
    [{ Type: 'vxlan' }, [vxlan(8472), vxlan(8472, 6)]],
    [{ Type: 'ipip' }, [ipip]],
    [{ Type: 'wireguard' }, [udp(51820), udp(51821, 6)]],
    [{ Type: 'wireguard', ListenPortV6: 9 }, [udp(51820), udp(9, 6)]],
    [{ Type: 'wireguard', Mode: 'auto' }, [udp(51820), udp(51820, 6)]],
    [{ Type: 'host-gw' }, []],
  ])('carriers of %j between addresses of both families', (backend, carriers) => {
    expect(backendNeeds(parseBackendConfig(backend), [4, 6]).carriers).toEqual(carriers);
  });
});

test.each([
  ['vxlan', 4, 50],
  ['vxlan', 6, 70],
  ['udp', 4, 28],
  ['udp', 6, 48],
  ['ipip', 4, 20],
  ['wireguard', 4, 80],
  ['wireguard', 6, 80],
  ['host-gw', 6, 0],
  ['alloc', 4, 0],
] as const)('backendOverhead() of %s by IPv%d is %d bytes', (type, outer, bytes) => {
  expect(backendOverhead(type, outer)).toBe(bytes);
});

test.each([
  [{ Type: 'vxlan' }, 4, 1450],
  [{ Type: 'vxlan', MTU: 1400 }, 6, 1330],
  [{ Type: 'host-gw' }, 6, 1500],
] as const)('innerMtu() of %j by IPv%d is %d bytes of 1500', (backend, outer, bytes) => {
  expect(innerMtu(parseBackendConfig(backend), outer, 1500)).toBe(bytes);
});

test.each([
  [{ Type: 'vxlan' }, 'UDP port 8472'],
  [{ Type: 'wireguard' }, 'UDP port 51820 and UDP port 51821'],
  [{ Type: 'ipip' }, 'IP protocol 4 (IPIP)'],
  [{ Type: 'host-gw' }, ''],
])('describeCarriers() of %j', (backend, text) => {
  expect(describeCarriers(backendNeeds(parseBackendConfig(backend), [4, 6]).carriers)).toBe(text);
});
