/**
 * What every backend has to do, as a script for sh: two nodes in namespaces on one link follow the network config from one backend and
 * one pair of families to the next. The same on this machine's kernel and on emulated ones, since no kernel has the modules of all
 * backends. busybox's ping and wget are on both.
 */
import { CLUSTER } from '../../kernel/support/cluster-script.ts';

export interface BackendCase {
  /** In what the script prints. */
  readonly name: string;
  readonly backend: { readonly Type: string } & Readonly<Record<string, unknown>>;
  /** In the subnet file, with both families where the backend has both. */
  readonly mtu: number;
  /** What flannel writes in the lease after the addresses; extended regular expression. */
  readonly lease: string;
  /** By which packets to the peer's pods leave, of each family that the backend carries; none where something else carries them. */
  readonly devices: readonly [] | readonly [string] | readonly [string, string];
  /** What another node is told in its lease that a node of this backend has to be told, as JSON after the addresses. */
  readonly peer: string;
  /** By which a route to a node behind a router leaves; undefined where there can be none. */
  readonly beyond?: string;
  /** Packets need flanneld itself. */
  readonly needsDaemon?: true;
  /** What another one of the same kernel shows as well is not looked at again, since emulated time is dear. */
  readonly leavesOut?: 'all but routes' | 'reboot';
}

const VTEP = '"VNI":1,"VtepMAC":"[0-9a-f:]{17}"';
const VXLAN = `,"BackendType":"vxlan","BackendData":\\{${VTEP}\\},"BackendV6Data":\\{${VTEP}\\}`;
const VXLAN_PEER = ',"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:99"}';
const KEY = '"PublicKey":"[A-Za-z0-9+/]{43}="';
const WIREGUARD = `,"BackendType":"wireguard","BackendData":\\{${KEY}[^}]*\\},"BackendV6Data":\\{${KEY}[^}]*\\}`;
const WIREGUARD_PEER =
  ',"BackendType":"wireguard","BackendData":{"PublicKey":"3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08="}';

/** Those that every machine's kernel has. */
export const COMMON: readonly BackendCase[] = [
  {
    name: 'udp',
    backend: { Type: 'udp' },
    mtu: 1472,
    lease: ',"BackendV6Data":.*',
    devices: ['flannel0', 'flannel0'],
    peer: '',
    beyond: 'flannel0',
    needsDaemon: true,
  },
  {
    name: 'vxlan',
    backend: { Type: 'vxlan' },
    mtu: 1430,
    lease: VXLAN,
    devices: ['flannel.1', 'flannel-v6.1'],
    peer: VXLAN_PEER,
    beyond: 'flannel.1',
  },
  {
    name: 'vxlan with DirectRouting',
    backend: { Type: 'vxlan', DirectRouting: true },
    mtu: 1430,
    lease: VXLAN,
    devices: ['eth0', 'eth0'],
    peer: VXLAN_PEER,
    beyond: 'flannel.1',
  },
  {
    name: 'host-gw',
    backend: { Type: 'host-gw' },
    mtu: 1500,
    lease: ',"BackendType":"host-gw"',
    devices: ['eth0', 'eth0'],
    peer: ',"BackendType":"host-gw"',
  },
  { name: 'alloc', backend: { Type: 'alloc' }, mtu: 1500, lease: '', devices: [], peer: '' },
];

/** Those that need a module. */
export const OF_MODULES: readonly BackendCase[] = [
  {
    name: 'ipip',
    backend: { Type: 'ipip' },
    mtu: 1480,
    lease: ',"BackendType":"ipip"',
    leavesOut: 'reboot',
    devices: ['flannel.ipip'],
    peer: ',"BackendType":"ipip"',
    beyond: 'flannel.ipip',
  },
  {
    name: 'ipip with DirectRouting',
    backend: { Type: 'ipip', DirectRouting: true },
    leavesOut: 'all but routes',
    mtu: 1480,
    lease: ',"BackendType":"ipip"',
    devices: ['eth0'],
    peer: ',"BackendType":"ipip"',
    beyond: 'flannel.ipip',
  },
  {
    name: 'wireguard',
    backend: { Type: 'wireguard', PSK: 'AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=' },
    mtu: 1420,
    lease: WIREGUARD,
    devices: ['flannel-wg', 'flannel-wg-v6'],
    peer: WIREGUARD_PEER,
    beyond: 'flannel-wg',
  },
];

const LIBRARY = `
subnets=/coreos.com/network/subnets
ip address add fd00:64::1/64 dev vpc0 nodad
for n in 1 2; do
  ip -n node$n address add fd00:64::1$n/64 dev eth0 nodad
  ip -n node$n -6 route add default via fd00:64::1
done
in_node() { n=$1; shift; ip netns exec node$n "$@"; }
start() {
  ip netns exec node$1 flanneld -etcd-endpoints=http://10.64.0.1:2379 -subnet-file=/run/node$1.env -iface=eth0 -ip-masq \\
    -healthz-ip=127.0.0.1 -healthz-port=8081 >>/run/node$1.log 2>&1 &
  eval pid$1=$!
}
killed() { eval kill -9 \\$pid$1; eval wait \\$pid$1 2>/dev/null; }
# Within a time that no machine needs.
until_so() { end=$(($(date +%s) + $patience)); until "$@"; do [ $(date +%s) -lt $end ] || return 1; sleep $pause; done; }
# Prints what holds.
holds() { what=$1; shift; until_so "$@" && echo "$name: $what" || fails "$what"; }
holds_now() { what=$1; shift; "$@" && echo "$name: $what" || fails "$what"; }
# What does not hold, with the end of the logs; ends.
fails() {
  echo "$name: not so: $1"
  tail -n 12 /run/node1.log /run/node2.log; ip -n node1 route; ip -n node1 -6 route; cat /run/node1.env; echo "lost: $lost"; tail -n 3 /run/traffic
  exit
}
env_of() { unset FLANNEL_SUBNET FLANNEL_IPV6_SUBNET FLANNEL_MTU; [ ! -s /run/node$1.env ] || . /run/node$1.env; }
# The families that the subnet file has, like "46".
families_of() { ( env_of $1; echo \${FLANNEL_SUBNET:+4}\${FLANNEL_IPV6_SUBNET:+6} ); }
pods() {
  for n in 1 2; do
    ip -n node$n link show cni0 >/dev/null 2>&1 || ip -n node$n link add cni0 type bridge
    ip -n node$n link set cni0 up
    env_of $n
    # An earlier subnet may be the other node's by now.
    ip -n node$n -4 address flush dev cni0; ip -n node$n -6 address flush dev cni0 scope global
    [ -z "$FLANNEL_SUBNET" ] || ip -n node$n address replace $FLANNEL_SUBNET dev cni0
    [ -z "$FLANNEL_IPV6_SUBNET" ] || ip -n node$n address replace $FLANNEL_IPV6_SUBNET dev cni0 nodad
    eval "four$n=\\\${FLANNEL_SUBNET%/*}; six$n=\\\${FLANNEL_IPV6_SUBNET%/*}"
  done
}
from() { in_node $1 busybox ping -c 1 -W 2 -I $2 $3 >/dev/null 2>&1; }
talk4() { from 1 $four1 $four2 && from 2 $four2 $four1; }
talk6() { from 1 $six1 $six2 && from 2 $six2 $six1; }
talk() { case $1 in 4) talk4;; 6) talk6;; 46) talk4 && talk6;; esac; }
# Of both nodes, and that they have followed to these families.
settled() { [ "$(families_of 1)$(families_of 2)" = $1$1 ] && ready 1 && ready 2; }
config() {
  case $1 in
    4) until_so put "{\\"Network\\":\\"10.5.0.0/16\\",\\"Backend\\":$backend}";;
    6) until_so put "{\\"EnableIPv4\\":false,\\"EnableIPv6\\":true,\\"IPv6Network\\":\\"fd00:5::/48\\",\\"Backend\\":$backend}";;
    46) until_so put "{\\"Network\\":\\"10.5.0.0/16\\",\\"EnableIPv6\\":true,\\"IPv6Network\\":\\"fd00:5::/48\\",\\"Backend\\":$backend}";;
  esac
}
lease_of() { ctl get --prefix $subnets/ | grep -B1 "^{\\"PublicIP\\":\\"10.64.0.1$1\\""; }
lease_is() { lease_of 1 | grep -qE "^\\{\\"PublicIP\\":\\"10.64.0.11\\",\\"PublicIPv6\\":[^,]*$lease\\}\\$"; }
leaves_by() { in_node 1 ip route get $1 2>/dev/null | grep -q " dev $2 "; }
logged() { grep -qF "$1" /run/node1.log; }
# Packets one after the other while something happens, to and fro.
traffic() {
  ip netns exec node2 busybox ping -i 0.1 -W 10 -I $1 $2 >/run/traffic &
  traffic=$!
}
end_traffic() { kill -INT $traffic; wait $traffic; }
answered() { sed -n 's/.* seq=\\([0-9]*\\) .*/\\1/p' /run/traffic; }
last() { answered | sort -n | tail -n 1; }
goes_on() { [ "$(last)" -gt "$seen" ]; }
none_lost() {
  sleep 1; seen=$(last); seen=\${seen:-0}
  until_so goes_on; end_traffic
  answered >/run/answered
  # Later ones may be on their way, for a second on a busy machine.
  lost=$(seq 0 $(last) | grep -vxFf /run/answered)
  [ "$seen" -ge 10 ] && [ "$(last)" -gt "$seen" ] && [ -z "$lost" ]
}
peer_with() { until_so asked put $subnets/10.5.250.0-24 "{\\"PublicIP\\":\\"$1\\",\\"PublicIPv6\\":null$2}"; }
no_peer() { until_so asked del $subnets/10.5.250.0-24; }
# A busy machine's etcd may not answer in time.
asked() { ctl "$@" >/dev/null 2>&1; }
has_route() { ip -n node1 -4 route | grep -q "^10.5.250.0/24.*$1"; }
has_peer() { in_node 1 busybox wget -qO- http://127.0.0.1:8081/status | grep -qF "\\"node\\": \\"$1\\""; }
lacks_route() { ! ip -n node1 -4 route | grep -q '^10.5.250.0/24'; }
# Of WireGuard, whose one route is the network's: packets to nobody's subnet are refused at once, and others wait for a handshake.
sends() { in_node 1 busybox ping -c 1 -W 1 -I $four1 10.5.250.1 2>&1 | grep -q "$1"; }
# To a family more or less. Packets of one that stays go on meanwhile, where the kernel has them.
changes_to() {
  [ -n "$daemon" ] || if [ $2 = 4 ]; then traffic $four2 $four1; else traffic $six2 $six1; fi
  sleep 1
  config $1
  until_so settled $1
  [ -n "$daemon" ] || holds_now "packets of IPv$2 go on while the network changes to IPv$1" none_lost
  pods
  holds "pods reach each other by IPv$1" talk $1
}
`;

/** With `$name`, `$backend`, `$mtu`, `$lease`, `$all` (families), `$dev4`, `$dev6`, `$peer`, `$beyond`, `$daemon`, `$without`. */
const CHECKS = `
config $all
holds "nodes have the families, and are ready" settled $all
pods
holds "the lease is what flannel writes" lease_is
env_of 1
holds "the subnet file has the MTU" [ "$FLANNEL_MTU" = $mtu ]
if [ -n "$dev4" ]; then
  holds "packets leave by the right device" leaves_by $four2 $dev4
  [ $all = 4 ] || holds "IPv6 packets leave by the right device" leaves_by $six2 $dev6
  holds "pods reach each other" talk $all
  large() { in_node 1 ping -c 1 -W 5 -M do -s $(($mtu - $1)) -I $2 $3 >/dev/null 2>&1; }
  holds "packets that fill the MTU arrive" large 28 $four1 $four2
  [ $all = 4 ] || holds "IPv6 packets that fill the MTU arrive" large 48 $six1 $six2
fi
if [ -n "$dev4" ] && [ "$without" != 'all but routes' ]; then
  ip -n node1 -4 route flush proto 241; ip -n node1 -6 route flush proto 241
  holds "routes that somebody flushed come back" talk $all
  for link in $(ip -n node1 -o link | grep -oE ' flannel[^:@]*'); do ip -n node1 link delete $link; done
  holds "devices that somebody deleted come back" talk $all
  holds "nodes are ready again" settled $all

  remembers() { before=$(lease_of 1); [ -n "$before" ]; }
  until_so remembers
  traffic $four2 $four1
  sleep 0.5; killed 1; sleep 1; start 1
  until_so settled $all
  if [ -n "$daemon" ]; then end_traffic; else holds_now "packets go on while flanneld is killed and started again" none_lost; fi
  holds "pods reach each other after that" talk $all
  if [ "$without" != reboot ]; then
    killed 1
    for link in $(ip -n node1 -o link | grep -oE ' flannel[^:@]*'); do ip -n node1 link delete $link; done
    ip -n node1 -4 route flush proto 241; ip -n node1 -6 route flush proto 241
    rm -f /run/node1.env /run/node1.env.state.json
    start 1
    until_so settled $all
    same_lease() { [ "$(lease_of 1)" = "$before" ]; }
    holds "what other nodes know of the node outlives its reboot" same_lease
    holds "pods reach each other after the reboot" talk $all
  fi

  peer_with 192.0.2.9 "$peer"
  if [ "$beyond" = flannel0 ]; then holds "a node behind a router is reached" has_peer 192.0.2.9
  elif [ $type = wireguard ]; then holds "a node behind a router is reached" sends '100% packet loss'
  elif [ -n "$beyond" ]; then holds "a node behind a router is reached" has_route " dev $beyond "
  else holds "a node behind a router is refused" logged "192.0.2.9 is on no link"; fi
  peer_with 10.64.0.99 ',"BackendType":"other"'
  holds "a node of another backend is named" logged "its backend is other, this node's is $type"
  if [ $type = wireguard ]; then holds "and not sent to" sends 'Required key not available'
  elif [ "$beyond" != flannel0 ]; then holds "and not sent to" lacks_route; fi
  no_peer
fi
if [ $type = wireguard ]; then
  key=$(sed -n 's/.*"wireguardKey":"\\([^"]*\\)".*/\\1/p' /run/node1.env.identity.json)
  no_secrets() { [ -n "$key" ] && ! grep -qF -e "$key" -e AQEBAQEB /run/node1.log; }
  holds_now "no key is in the log" no_secrets
fi
`;

/** The families that a network changes to, and one that stays. */
const FAMILY_CHANGES = [
  [6, 6],
  [46, 6],
  [4, 4],
  [46, 4],
] as const;

const FAMILIES = `
if [ -n "$dev4" ]; then
${FAMILY_CHANGES.map((change) => `  changes_to ${change.join(' ')}`).join('\n')}
else
  for families in ${FAMILY_CHANGES.map(([to]) => to).join(' ')}; do config $families; holds "the subnet file follows to IPv$families" settled $families; done
fi
`;

export interface Pace {
  /** Seconds within which everything happens, on a busy machine as well. */
  readonly patience: number;
  /** Seconds between two looks, which take time from what they wait for. */
  readonly pause: number;
}

export const EMULATED: Pace = { patience: 300, pause: 1 };
const DIRECT: Pace = { patience: 120, pause: 0.25 };

export function suiteScript(cases: readonly BackendCase[], { patience, pause } = DIRECT): string {
  const parts = cases.map(({ name, backend, mtu, lease, devices, peer, beyond = '', needsDaemon, leavesOut = '' }) => {
    const [dev4 = '', dev6 = ''] = devices;
    const both = devices.length !== 1;
    const { Type: type } = backend;
    return `
name='${name}'; type=${type}; backend='${JSON.stringify(backend)}'; mtu=${mtu}; lease='${lease}'
all=${both ? 46 : 4}; dev4=${dev4}; dev6=${dev6}; peer='${peer}'; beyond=${beyond}; daemon=${needsDaemon ? 1 : ''}; without='${leavesOut}'
: >/run/node1.log
${CHECKS}
${both ? FAMILIES : ''}
`;
  });
  return `patience=${patience}; pause=${pause}; export ETCDCTL_API=3 CONFIG='{}'\n${CLUSTER}\n${LIBRARY}\nname=start; backend='${JSON.stringify(cases[0]!.backend)}'; config 4; start 1; start 2\n${parts.join('')}`;
}

const REBOOT = ['what other nodes know of the node outlives its reboot', 'pods reach each other after the reboot'];

/** What the script prints when all is right. */
export function suiteResults(cases: readonly BackendCase[]): string[] {
  return cases.flatMap(({ name, backend, devices, beyond, needsDaemon, leavesOut }) => {
    const both = devices.length !== 1;
    const if6 = (line: string) => (both ? [line] : []);
    const lines = [
      'nodes have the families, and are ready',
      'the lease is what flannel writes',
      'the subnet file has the MTU',
    ];
    if (devices.length === 0) {
      lines.push(...FAMILY_CHANGES.map(([families]) => `the subnet file follows to IPv${families}`));
      return lines.map((line) => `${name}: ${line}`);
    }
    lines.push(
      'packets leave by the right device',
      ...if6('IPv6 packets leave by the right device'),
      'pods reach each other',
      'packets that fill the MTU arrive',
      ...if6('IPv6 packets that fill the MTU arrive'),
    );
    if (leavesOut === 'all but routes') return lines.map((line) => `${name}: ${line}`);
    lines.push(
      'routes that somebody flushed come back',
      'devices that somebody deleted come back',
      'nodes are ready again',
      ...(needsDaemon ? [] : ['packets go on while flanneld is killed and started again']),
      'pods reach each other after that',
      ...(leavesOut === 'reboot' ? [] : REBOOT),
      `a node behind a router is ${beyond === undefined ? 'refused' : 'reached'}`,
      'a node of another backend is named',
      ...(beyond === 'flannel0' ? [] : ['and not sent to']),
    );
    if (backend.Type === 'wireguard') lines.push('no key is in the log');
    for (const [to, stays] of both ? FAMILY_CHANGES : []) {
      if (!needsDaemon) lines.push(`packets of IPv${stays} go on while the network changes to IPv${to}`);
      lines.push(`pods reach each other by IPv${to}`);
    }
    return lines.map((line) => `${name}: ${line}`);
  });
}
