import { parseBackendConfig } from '@flannel-ts/flannel/backend-config';
import { underlayNeeds } from './underlay.ts';

test.each([
  [
    { Type: 'udp', Port: 9000 },
    { encapsulation: { udpPort: 9000 }, barePackets: false, oneLink: false },
  ],
  [{ Type: 'vxlan' }, { encapsulation: { udpPort: 8472 }, barePackets: false, oneLink: false, linkKind: 'vxlan' }],
  [
    { Type: 'vxlan', Port: 4789, DirectRouting: true },
    { encapsulation: { udpPort: 4789 }, barePackets: true, oneLink: false, linkKind: 'vxlan' },
  ],
  [{ Type: 'host-gw' }, { barePackets: true, oneLink: true }],
  [{ Type: 'ipip' }, { encapsulation: { ipProtocol: 4 }, barePackets: false, oneLink: false, linkKind: 'ipip' }],
  [
    { Type: 'ipip', DirectRouting: true },
    { encapsulation: { ipProtocol: 4 }, barePackets: true, oneLink: false, linkKind: 'ipip' },
  ],
  [
    { Type: 'wireguard', ListenPort: 51900 },
    { encapsulation: { udpPort: 51900 }, barePackets: false, oneLink: false, linkKind: 'wireguard' },
  ],
  [{ Type: 'alloc' }, { barePackets: false, oneLink: false }],
])('underlayNeeds() of %j', (backend, needs) => {
  expect(underlayNeeds(parseBackendConfig(backend))).toEqual(needs);
});
