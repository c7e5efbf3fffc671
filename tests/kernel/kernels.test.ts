/** The daemon on other kernels than this machine's. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { compileFlanneld } from '../integration/support/flanneld-bundle.ts';
import { CLUSTER, CLUSTER_PROGRAMS } from './support/cluster-script.ts';
import { fetchKernel, type KernelVersion } from './support/kernels.ts';
import { runOnKernel } from './support/machine.ts';

jest.setTimeout(600_000);

let flanneld: string;
beforeAll(() => {
  flanneld = compileFlanneld();
});
afterAll(() => rmSync(path.dirname(flanneld), { recursive: true, force: true }));

const CONTROL = `
node() {
  n=$1; shift
  ip netns exec node$n flanneld -etcd-endpoints=http://10.64.0.1:2379 -subnet-file=/run/node$n.env \\
    -healthz-ip=127.0.0.1 -healthz-port=8081 -ip-masq "$@" >>/run/node$n.log 2>&1
}
`;

const PODS = `
for n in 1 2; do node $n & done
for n in 1 2; do
  i=0
  until ready $n || [ $i -ge 120 ]; do sleep 1; i=$((i + 1)); done
  ready $n && echo "node$n is ready" || { echo "node$n is not ready"; cat /run/node$n.log; }
  . /run/node$n.env
  ip -n node$n link add cni0 type bridge
  ip -n node$n address add $FLANNEL_SUBNET dev cni0
  ip -n node$n link set cni0 up
  eval pod$n=\${FLANNEL_SUBNET%/*}
done
ip netns exec node1 ping -c 3 -I $pod1 $pod2 | grep received
ip netns exec node2 nft list tables
grep -hE '"level":(50|60)' /run/node*.log
`;

/** Loss, duplicates, reordering and delay between the nodes, both ways; then none again. */
const DEGRADED = `
modprobe sch_netem
for n in 1 2; do
  ip netns exec node$n tc qdisc add dev eth0 root netem limit 2000 delay 20ms 5ms loss 7% duplicate 3% reorder 10%
done
received=$(ip netns exec node1 ping -q -c 100 -i 0.05 -I $pod1 $pod2 | sed -n 's/.*transmitted, \\([0-9]*\\) packets.*/\\1/p')
[ $received -gt 60 ] && [ $received -lt 100 ] && echo "most pings come back" || echo "$received of 100 pings come back"
head -c 200000 /dev/urandom >/run/file
mkfifo /run/silence # nc ends when its input does
exec 3<>/run/silence
ip netns exec node2 nc -l -p 8000 <&3 >/run/copy &
i=0
until ip netns exec node1 timeout 60 nc $pod2 8000 </run/file 2>/dev/null || [ $i -ge 10 ]; do sleep 1; i=$((i + 1)); done
wait $!
cmp /run/file /run/copy && echo "a TCP stream is whole"
for n in 1 2; do ip netns exec node$n tc qdisc del dev eth0 root; done
ip netns exec node1 ping -c 10 -i 0.1 -I $pod1 $pod2 | grep received
for n in 1 2; do ready $n && echo "node$n is ready"; done
grep -hE '"level":(40|50|60)' /run/node*.log
`;

function run(
  version: KernelVersion,
  config: string,
  script: string,
  bootOptions: readonly string[] = [],
): Promise<string[]> {
  const programs = { '/usr/bin/flanneld': flanneld, ...CLUSTER_PROGRAMS };
  const commands = `export ETCDCTL_API=3 CONFIG='${config}'\nuname -r\n${CLUSTER}\n${CONTROL}\n${script}`;
  return runOnKernel({ kernel: fetchKernel(version), bootOptions, programs, script: commands });
}

const IPV4 = '{"Network":"10.5.0.0/16","Backend":{"Type":"udp"}}';

const SERVED = [
  'node1 is ready',
  'node2 is ready',
  '3 packets transmitted, 3 packets received, 0% packet loss',
  'table ip flannel-ipv4-10.5.0.0-16',
];

test('two nodes on Linux 6.12 serve, and their pods reach each other, over a degraded link as well', async () => {
  expect(await run('6.12', IPV4, `${PODS}\n${DEGRADED}`)).toEqual([
    expect.stringMatching(/^6\.12\./),
    ...SERVED,
    'most pings come back',
    'a TCP stream is whole',
    '10 packets transmitted, 10 packets received, 0% packet loss',
    'node1 is ready',
    'node2 is ready',
  ]);
});

test('two nodes on Linux 6.1 without IPv6 serve IPv4, and refuse in one sentence a network of both families, and one that needs a missing module', async () => {
  const dual = '{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:5::/48","Backend":{"Type":"udp"}}';
  const refused = `
put '${dual}'
node 3 || echo "exit code $?"
grep -ho 'The network has IPv6.*"' /run/node3.log
rm -r /lib/modules/$(uname -r)/kernel/drivers/net/wireguard
depmod
put '{"Network":"10.5.0.0/16","Backend":{"Type":"wireguard"}}'
node 3 || echo "exit code $?"
grep -ho 'This kernel has no devices.*"' /run/node3.log
echo "leases of node3: $(ctl get --prefix /coreos.com/network/subnets --print-value-only | grep -c 10.64.0.13)"
`;
  const script = `${PODS}\n${refused}`;
  expect(await run('6.1', IPV4, script, ['ipv6.disable=1'])).toEqual([
    expect.stringMatching(/^6\.1\./),
    ...SERVED,
    'exit code 1',
    'The network has IPv6 (EnableIPv6), and this kernel has none: boot it without ipv6.disable=1, or set EnableIPv6 to false in the network config"',
    'exit code 1',
    'This kernel has no devices of the kind wireguard, which the wireguard backend needs: load or install the kernel module wireguard, or set Backend.Type in the network config to another one"',
    'leases of node3: 0',
  ]);
});
