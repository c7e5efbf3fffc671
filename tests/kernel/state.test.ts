/** Devices of the kernel backends as desired state, of kinds that many machines have no module for, on kernels that have. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { compileProgram } from '../integration/support/flanneld-bundle.ts';
import { fetchKernel } from './support/kernels.ts';
import { runOnKernel } from './support/machine.ts';
import { TWO_NODES } from './support/two-nodes.ts';

jest.setTimeout(600_000);

let program: string;
beforeAll(() => {
  program = compileProgram('state', 'tests/kernel/programs/state.ts', [
    'packages',
    'daemon/src',
    'tests/kernel/programs',
  ]);
});
afterAll(() => rmSync(path.dirname(program), { recursive: true, force: true }));

const SCRIPT = `
${TWO_NODES}
both() { state $1 1 $2; state $1 2 $2; }
node1() { ip -n node1 "$@"; }
pings() { for n in 1 2 3 4 5; do ip netns exec node1 ping -c 1 -W 5 -I $1 $2 | grep -o '1 packets received' && return; done; }
ping4() { pings 10.5.1.1 10.5.2.1; }
ping6() { pings fd00:5:0:1::1 fd00:5:0:2::1; }

both ipip
both ipip
ping4
node1 link set flannel.ipip down
node1 link set flannel.ipip mtu 1300
state ipip 1
node1 link delete flannel.ipip
node1 link add flannel.ipip type ipip local 10.64.0.11 remote 10.64.0.99
state ipip 1
ping4
node1 link delete flannel.ipip
node1 link add theirs type ipip local 10.64.0.11
state ipip 1
node1 link delete theirs

both wireguard
both wireguard
ping4
ping6
ip -n node2 link show flannel.ipip
node1 link set flannel-wg down
node1 address flush dev flannel-wg
state wireguard 1
ping4
state wireguard 1 6
ping6
node1 link delete flannel-wg
state wireguard 1 6
ping4

both vxlan
both vxlan
ping4
both vxlan 6
ping6
node1 link delete flannel-v6.1
state vxlan 1 6
ping6
`;

const RECEIVED = '1 packets received';

test.each(['6.1', '6.12'] as const)(
  'ipip, wireguard and vxlan devices on Linux %s carry packets, and are put right',
  async (version) => {
    const programs = { '/usr/bin/state': program };
    expect(await runOnKernel({ kernel: fetchKernel(version), programs, script: SCRIPT })).toEqual([
      'ipip 1: as desired, changes: 4',
      'ipip 2: as desired, changes: 4',
      'ipip 1: as desired, changes: 0',
      'ipip 2: as desired, changes: 0',
      RECEIVED,
      'ipip 1: as desired, changes: 2',
      'ipip 1: as desired, changes: 4',
      RECEIVED,
      'ipip 1: Cannot make device flannel.ipip: device theirs is a tunnel with the same local address already: remove it with "ip link delete theirs", changes: 0',
      'wireguard 1: as desired, changes: 7',
      'wireguard 2: as desired, changes: 8',
      'wireguard 1: as desired, changes: 0',
      'wireguard 2: as desired, changes: 0',
      RECEIVED,
      RECEIVED,
      'Device "flannel.ipip" does not exist.',
      'wireguard 1: as desired, changes: 5',
      RECEIVED,
      'wireguard 1: as desired, changes: 1',
      RECEIVED,
      'wireguard 1: as desired, changes: 7',
      RECEIVED,
      'vxlan 1: as desired, changes: 8',
      'vxlan 2: as desired, changes: 8',
      'vxlan 1: as desired, changes: 0',
      'vxlan 2: as desired, changes: 0',
      RECEIVED,
      'vxlan 1: as desired, changes: 7',
      'vxlan 2: as desired, changes: 7',
      RECEIVED,
      'vxlan 1: as desired, changes: 6',
      RECEIVED,
    ]);
  },
);
