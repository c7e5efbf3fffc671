/** For sh: namespaces node1 and node2 on one link, 10.64.0.1N and fd00:64::1N, with a bridge that stands for the pods of each. */
export const TWO_NODES = `
ip link add vpc0 type bridge
ip link set vpc0 up
for n in 1 2; do
  ip netns add node$n
  ip link add eth0 netns node$n type veth peer name p$n
  ip link set p$n master vpc0 up
  ip -n node$n link set lo up
  ip -n node$n link set eth0 up
  ip -n node$n address add 10.64.0.1$n/24 dev eth0
  ip -n node$n address add fd00:64::1$n/64 dev eth0 nodad
  ip -n node$n link add pod type bridge
  ip -n node$n address add 10.5.$n.1/24 dev pod
  ip -n node$n address add fd00:5:0:$n::1/64 dev pod nodad
  ip -n node$n link set pod up
done
`;
