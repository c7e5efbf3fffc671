/** For sh: etcd, and three nodes in namespaces node1 to node3 on one bridge, 10.64.0.1N. $CONFIG is the network config. */
export const CLUSTER = `
ip link add vpc0 type bridge
ip address add 10.64.0.1/24 dev vpc0
ip link set vpc0 up
peer=http://127.0.0.1:2380
etcd --name=one --data-dir=/run/etcd --log-level=error --unsafe-no-fsync --listen-peer-urls=$peer \\
  --initial-advertise-peer-urls=$peer --initial-cluster=one=$peer \\
  --listen-client-urls=http://10.64.0.1:2379 --advertise-client-urls=http://10.64.0.1:2379 >/run/etcd.log 2>&1 &
for n in 1 2 3; do
  ip netns add node$n
  ip link add eth0 netns node$n type veth peer name p$n
  ip link set p$n master vpc0 up
  ip -n node$n link set lo up
  ip -n node$n link set eth0 up
  ip -n node$n address add 10.64.0.1$n/24 dev eth0
  ip -n node$n route add default via 10.64.0.1
done
ctl() { etcdctl --command-timeout=3s --endpoints=http://10.64.0.1:2379 "$@"; }
put() { ctl put /coreos.com/network/config "$1" >/dev/null 2>&1; }
i=0
until put "$CONFIG" || [ $i -ge 30 ]; do sleep 1; i=$((i + 1)); done
[ $i -lt 30 ] || cat /run/etcd.log
ready() { ip netns exec node$1 wget -qO- http://127.0.0.1:8081/readyz 2>/dev/null | grep -q ready; }
`;

/** By their place on the machine. */
export const CLUSTER_PROGRAMS = { '/usr/bin/etcd': '/usr/bin/etcd', '/usr/bin/etcdctl': '/usr/bin/etcdctl' } as const;
