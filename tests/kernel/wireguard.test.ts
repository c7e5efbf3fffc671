/** WireGuard and ipip devices, which kernels of many machines have no module for, on kernels that have. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { compileProgram } from '../integration/support/flanneld-bundle.ts';
import { fetchKernel } from './support/kernels.ts';
import { runOnKernel } from './support/machine.ts';
import { TWO_NODES } from './support/two-nodes.ts';

jest.setTimeout(600_000);

let program: string;
beforeAll(() => {
  program = compileProgram('wireguard', 'tests/kernel/programs/wireguard.ts', ['packages', 'tests/kernel/programs']);
});
afterAll(() => rmSync(path.dirname(program), { recursive: true, force: true }));

const SCRIPT = `
${TWO_NODES}
wireguard setup
for n in 1 2; do
  ip -n node$n route add 10.5.0.0/16 dev wg0
  ip -n node$n route add fd00:5::/48 dev wg0
done
ping4() { ip netns exec node1 ping -c 2 -W 5 -I 10.5.1.1 10.5.2.1 | grep received; }
ping6() { ip netns exec node1 ping -c 2 -W 5 -I fd00:5:0:1::1 fd00:5:0:2::1 | grep received; }
ping4
ping6
wireguard move
ping4
wireguard many
wireguard kinds
`;

const RECEIVED = '2 packets transmitted, 2 packets received, 0% packet loss';
const SET = 'port 51820, keepalive 25, 2 allowed IPs, preshared key: true, seen: false';

test.each(['6.1', '6.12'] as const)(
  'WireGuard peers on Linux %s are set, reached, moved and read back; ipip links, too',
  async (version) => {
    const programs = { '/usr/bin/wireguard': program };
    expect(await runOnKernel({ kernel: fetchKernel(version), programs, script: SCRIPT })).toEqual([
      `node1 keeps its key: true ${SET}`,
      `node2 keeps its key: true ${SET}`,
      RECEIVED,
      RECEIVED,
      'moved: true, same session: true',
      RECEIVED,
      '500 peers, 3499 allowed IPs',
      'false after removal',
      'ipip: true, wireguard: true, vxlan: true, no-such-kind: false',
      `{"kind":"ipip","device":null,"local":${0x0a40000b},"remote":null,"ttl":0,"pmtuDiscovery":false} no MAC none`,
      'Cannot read the WireGuard device N: Operation not supported (EOPNOTSUPP)',
    ]);
  },
);
