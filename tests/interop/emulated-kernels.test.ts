/**
 * Nodes of flannel's own ipip and wireguard backends and of ours in one cluster, on emulated kernels: many machines have no modules
 * for them. FLANNEL_UPSTREAM names a build of github.com/flannel-io/flannel, outside of this checkout.
 */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { compileFlanneld } from '../integration/support/flanneld-bundle.ts';
import { CLUSTER, CLUSTER_PROGRAMS } from '../kernel/support/cluster-script.ts';
import { fetchKernel } from '../kernel/support/kernels.ts';
import { runOnKernel } from '../kernel/support/machine.ts';

jest.setTimeout(600_000);

const THEIRS = process.env.FLANNEL_UPSTREAM;
if (!THEIRS) throw new Error('Set FLANNEL_UPSTREAM to a build of github.com/flannel-io/flannel');

let flanneld: string;
beforeAll(() => {
  flanneld = compileFlanneld();
});
afterAll(() => rmSync(path.dirname(flanneld), { recursive: true, force: true }));

/**
 * `start PROGRAM NODE` waits for the subnet file; flannel's daemon writes it when it has joined, and does not end at a signal
 * before. `cluster CONFIG` begins with nothing of an earlier one.
 */
const CONTROL = `
modprobe br_netfilter # without it flannel does not start
for n in 1 2; do ip -n node$n address add fd00:64::1$n/64 dev eth0 nodad; ip -n node$n -6 route add default via fd00:64::1; done
wait_for() { i=0; until "$@" || [ $i -ge 90 ]; do sleep 1; i=$((i + 1)); done; [ $i -lt 90 ] || { echo "in vain: $*"; tail -n 15 /run/node1.log /run/node2.log; exit; }; }
start() {
  rm -f /run/node$2.env
  WIREGUARD_KEY_FILE=/run/node$2.wgkey ip netns exec node$2 $1 -etcd-endpoints=http://10.64.0.1:2379 -subnet-file=/run/node$2.env \\
    -healthz-ip=127.0.0.1 -healthz-port=8081 -iface=eth0 -iptables-forward-rules=false >>/run/node$2.log 2>&1 &
  eval pid$2=$!
  wait_for test -s /run/node$2.env
}
stop() { eval pid=\\$pid$1; [ -z "$pid" ] || { kill $pid; wait $pid; }; }
swap() { stop $2; start $1 $2; }
cluster() {
  stop 1; stop 2
  ctl del --prefix /coreos.com/network/subnets >/dev/null
  for n in 1 2; do
    for link in $(ip -n node$n -o link | grep -oE ' (flannel[^:@]*|cni0)'); do ip -n node$n link delete $link; done
    ip -n node$n route flush proto 241
    rm -f /run/node$n.env* /run/node$n.log
  done
  put "$1"
  start ours 1; start theirs 2
  for n in 1 2; do
    ip -n node$n link add cni0 type bridge
    ip -n node$n link set cni0 up
    . /run/node$n.env
    ip -n node$n address add $FLANNEL_SUBNET dev cni0
    eval pod$n=\${FLANNEL_SUBNET%/*}
    [ -z "$FLANNEL_IPV6_SUBNET" ] || ip -n node$n address add $FLANNEL_IPV6_SUBNET dev cni0 nodad
    eval six$n=\${FLANNEL_IPV6_SUBNET%/*}
    eval subnets$n='"$FLANNEL_SUBNET $FLANNEL_IPV6_SUBNET"'
    unset FLANNEL_IPV6_SUBNET
  done
}
from() { ip netns exec node$1 ping -c 1 -W 1 -I $2 $3 >/dev/null 2>&1; }
pings() { for i in 1 2 3 4 5; do from 1 $1 $2 && from 2 $2 $1 && return; done; false; }
reach() { pings $pod1 $pod2 && { [ -z "$six1" ] || pings $six1 $six2; }; }
both_ways() {
  wait_for reach
  reach && echo "$1: pods reach each other"
  for n in 1 2; do
    . /run/node$n.env
    eval [ '"$FLANNEL_SUBNET $FLANNEL_IPV6_SUBNET"' = '"$subnets'$n'"' ] || echo "node$n has another subnet"
    unset FLANNEL_IPV6_SUBNET
  done
}
large() { ip netns exec node1 ping -c 3 -W 5 -s $3 -I $1 $2 | grep -o '3 packets received'; }
`;

const NETWORKS = '"Network":"10.5.0.0/16"';
const BOTH = `${NETWORKS},"EnableIPv6":true,"IPv6Network":"fd00:5::/48"`;

const SWAPS = `
both_ways "ours and theirs"
swap theirs 1; both_ways "theirs and theirs"
swap ours 2; both_ways "theirs and ours"
swap theirs 2; swap ours 1; both_ways "ours and theirs again"
`;
const SWAPPED = ['ours and theirs', 'theirs and theirs', 'theirs and ours', 'ours and theirs again'].map(
  (who) => `${who}: pods reach each other`,
);

const IPIP = `
cluster '{${NETWORKS},"Backend":{"Type":"ipip"}}'
ip -n node1 route get $pod2 | grep -o 'dev flannel.ipip'
large $pod1 $pod2 4000
${SWAPS}
ip netns exec node2 ping -i 0.2 -I $pod2 $pod1 >/run/pings &
pinging=$!
for program in theirs ours; do swap $program 1; done
kill -INT $pinging; wait $pinging
sed -n 's/.* received, \\(.*\\) packet loss/lost in a swap there and back: \\1/p' /run/pings
cluster '{${NETWORKS},"Backend":{"Type":"ipip","DirectRouting":true}}'
ip -n node1 route get $pod2 | grep -o 'dev eth0'
${SWAPS}
`;

/** Of each mode; the last one has a key and a keepalive interval as well. */
const WIREGUARD = `
for mode in separate auto ipv4 ipv6; do
  cluster "{${BOTH.replaceAll('"', '\\"')},\\"Backend\\":{\\"Type\\":\\"wireguard\\",\\"Mode\\":\\"$mode\\"}}"
  both_ways $mode
  large $pod1 $pod2 4000
done
cluster '{${BOTH},"Backend":{"Type":"wireguard","PSK":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=","PersistentKeepaliveInterval":25}}'
${SWAPS}
`;

function run(script: string): Promise<string[]> {
  const programs = { '/usr/bin/ours': flanneld, '/usr/bin/theirs': path.resolve(THEIRS!), ...CLUSTER_PROGRAMS };
  const commands = `export ETCDCTL_API=3 CONFIG='{}'\n${CLUSTER}\n${CONTROL}\n${script}`;
  return runOnKernel({ kernel: fetchKernel('6.12'), programs, script: commands, timeoutMs: 540_000 });
}

const LARGE = '3 packets received';

test('pods of ours and of theirs reach each other by ipip, and a node is swapped there and back', async () => {
  expect(await run(IPIP)).toEqual([
    'dev flannel.ipip',
    LARGE,
    ...SWAPPED,
    'lost in a swap there and back: 0%',
    'dev eth0',
    ...SWAPPED,
  ]);
});

test('pods of ours and of theirs reach each other by wireguard in both families, and a node is swapped there and back', async () => {
  const modes = ['separate', 'auto', 'ipv4', 'ipv6'].flatMap((mode) => [`${mode}: pods reach each other`, LARGE]);
  expect(await run(WIREGUARD)).toEqual([...modes, ...SWAPPED]);
});
