import type { Section, TestName } from './comparison.ts';

/** Of one file, so that rows stay readable. */
const inFile =
  (file: string) =>
  (title: string): TestName => ({ file, title });

const flanneld = inFile('tests/integration/flanneld.test.ts');
const restart = inFile('tests/integration/flanneld-restart.test.ts');
const engines = inFile('tests/integration/flanneld-engine.test.ts');
const control = inFile('tests/integration/control.test.ts');
const etcd = inFile('tests/integration/subnet-etcd.test.ts');
const kube = inFile('tests/integration/subnet-kube.test.ts');
const leases = inFile('tests/integration/subnet-lease.test.ts');
const model = inFile('tests/integration/subnet-model.test.ts');
const members = inFile('tests/integration/subnet-members.test.ts');
const kernels = inFile('tests/kernel/kernels.test.ts');
const outage = inFile('daemon/src/subnet/etcd/outage.test.ts');
const allocate = inFile('daemon/src/subnet/allocate.test.ts');
const table = inFile('daemon/src/subnet/table.test.ts');
const udp = inFile('daemon/src/backend/udp.test.ts');
const options = inFile('daemon/src/options.test.ts');
const config = inFile('packages/flannel/src/network-config.test.ts');
const lease = inFile('packages/flannel/src/lease.test.ts');
const subnetEnv = inFile('packages/flannel/src/subnet-env.test.ts');
const reference = inFile('daemon/src/datapath/tun/engine/reference/forwarder.test.ts');
const forward = inFile('daemon/src/datapath/tun/engine/forward.test.ts');
const fast = inFile('daemon/src/datapath/tun/engine/fast/egress.test.ts');
const packet = inFile('daemon/src/datapath/tun/engine/ipv4-header.test.ts');
const engineControl = inFile('daemon/src/datapath/tun/engine/control.test.ts');
const traffic = inFile('daemon/testing/engine/compliance/traffic.ts');
const tunTap = inFile('tests/integration/tun-tap.test.ts');
const wire = inFile('daemon/testing/engine/compliance/wire.ts');
const paths = inFile('daemon/testing/engine/compliance/paths.ts');
const firewall = inFile('tests/integration/flanneld-firewall.test.ts');
const reach = inFile('tests/integration/flanneld-reach.test.ts');
const reach6 = inFile('tests/integration/flanneld-reach-ipv6.test.ts');
const status = inFile('tests/integration/flanneld-status.test.ts');
const underlay = inFile('tests/integration/flanneld-underlay.test.ts');
const operate = (file: string) => inFile(`daemon/src/operate/${file}.test.ts`);
const underlayUnit = (file: string) => inFile(`daemon/src/underlay/${file}.test.ts`);
const ownership = inFile('tests/integration/flanneld-ownership.test.ts');
const cleanup = inFile('tests/integration/flanneld-cleanup.test.ts');
const safety = inFile('tests/integration/flanneld-safety.test.ts');
const interrupted = inFile('tests/e2e/interrupted.test.ts');
const settings = inFile('tools/src/settings/check.test.ts');
const stackSettings = inFile('tests/e2e/settings.test.ts');
const interop = inFile('tests/interop/udp.test.ts');
const masquerade = inFile('tests/integration/masquerade.test.ts');
const underlay6 = inFile('tests/integration/flanneld-ipv6-underlay.test.ts');
const faults = inFile('tests/integration/flanneld-faults.test.ts');
const backends = inFile('tests/integration/flanneld-backends.test.ts');
const vxlan = inFile('daemon/src/backend/vxlan.test.ts');
const hostGw = inFile('daemon/src/backend/host-gw.test.ts');
const stateKernel = inFile('tests/integration/state-kernel.test.ts');
const view = inFile('daemon/src/view.test.ts');
const departures = inFile('daemon/src/subnet/departures.test.ts');

export const SECTIONS: readonly Section[] = [
  {
    title: 'Leases in etcd',
    rows: [
      {
        situation: 'Two nodes choose the same free subnet at the same moment',
        flannel:
          'the loser ends with "subnet already exists": its retries look for an error that this path never gives',
        source: 'measured with v0.28.10: of 25 daemons into 31 free subnets 5 exited; pkg/subnet/etcd/local_manager.go',
        ours: 'the loser chooses again; 25 at once into 31 all get one',
        tests: [
          control('25 nodes that start at once where only 31 subnets exist get one each, and none fails'),
          etcd('join() leaves no etcd lease behind when it lost a race'),
        ],
      },
      {
        situation: 'A node renews a lease that another node got meanwhile',
        flannel: 'puts its own value over it without looking, and both send as that subnet',
        source: '#1289, #1129, #805, #813; updateSubnet in pkg/subnet/etcd/registry.go',
        ours: 'compares before it writes, and ends with a message that names the other node',
        tests: [
          etcd('hold() does not write over a key that another node got meanwhile'),
          flanneld('a subnet taken by another node ends the daemon with 1 and a clear message'),
        ],
      },
      {
        situation: 'etcd is away when the watch on the own lease ends',
        flannel: 'never renews again; the lease ends within 24 hours and the node is lost to its peers',
        source: '#621, #904; CompleteLease by its source',
        ours: 'goes on when etcd is back, also when the lease has really ended meanwhile',
        tests: [
          leases('a lease that ended while the node was cut off is leased again, and the other nodes hear of both'),
        ],
      },
      {
        situation: 'The own lease is deleted',
        flannel: 'ends with exit code 0, which most supervisors take for a wish',
        source: '#1240; "Lease has been revoked. Shutting down daemon."',
        ours: 'takes the same subnet again; packets flow',
        tests: [flanneld('the same subnet is leased again after its lease was deleted')],
      },
      {
        situation: 'A subnet is reserved for a node by a key without an end',
        flannel: 'the first start of the node turns it into a lease of 24 hours',
        source: '#1329',
        ours: 'stays a reservation, also when its key is lost; one that does not fit is left alone',
        tests: [
          etcd('join() keeps a reservation without an end'),
          leases('a lease that an administrator makes a reservation stays one, also when its key is lost'),
          leases('a reservation that does not fit the network config is neither deleted nor used'),
        ],
      },
      {
        situation: 'A peer keeps its subnet and gets another public address, unseen because the watch was away',
        flannel: 'compares snapshots by subnet alone and goes on sending to the old address',
        source: 'pkg/lease/lease.go by its source; #408, #1052',
        ours: 'sends to the new address',
        tests: [
          flanneld('traffic goes on without etcd, and what changed meanwhile is applied when it is back'),
          table('apply() says what a snapshot and later changes add, change and remove'),
        ],
      },
      {
        situation: 'A second list of all leases comes, after a compaction',
        flannel: 'takes its own subnet for removed and deletes what belongs to it, with retries of minutes',
        source: 'LeaseWatcher.Reset in pkg/lease/lease.go by its source',
        ours: 'the own lease is no peer; what is gone is removed once',
        tests: [
          etcd('peers() lists anew when the revision to resume at was compacted, and reports what is gone'),
          udp('desired() lets no lease take the own subnet, and reaches nobody at the own address or at none'),
        ],
      },
      {
        situation: 'The watch on the leases cannot be started, or its stream breaks',
        flannel: 'the node stays up without peers for ever, if it happens at the start',
        source: 'WatchLeases by its source; #2171, #1830',
        ours: 'lists and watches again, and takes up what was missed',
        tests: [etcd('peers() resumes after an outage with what was missed')],
      },
      {
        situation: 'A stream of etcd goes silent without an end',
        flannel: 'waits',
        source: 'no keepalive on the watch by its source',
        ours: 'gives the stream up and follows again; lists now and then besides',
        tests: [
          etcd('peers() gives up a stream that went silent, and follows again'),
          etcd('peers() lists now and then, in case an event was lost; a list that says nothing new is passed over'),
        ],
      },
      {
        situation:
          'One of three etcd members freezes, loses the leadership or answers nothing, without an end of its connections',
        flannel:
          'its client waits for the connection to end; seen here before: three watches turned back to the dead member for hours',
        source: 'no keepalive in pkg/subnet/etcd/registry.go by its source',
        ours: 'leaves that member for one that works, within seconds',
        tests: [
          members('a member that freezes (SIGSTOP), time %s, is left for one that works'),
          members('a member behind a black hole (no RST) is left for one that works'),
          members('a leader that is lost costs seconds'),
        ],
      },
      {
        situation: 'etcd comes back empty',
        flannel: 'leases are gone until each node renews, up to 23 hours later',
        source: 'renewal at the end minus a margin of an hour, by its source',
        ours: 'the nodes that live put their leases there again',
        tests: [etcd('a store that was lost is filled again by the nodes that live')],
      },
      {
        situation: 'etcd is restored from an older snapshot, and its revisions are counted once more',
        flannel: 'resumes its watch at a revision that means something else now',
        source: 'WatchLeases by its source',
        ours: 'leaves a subnet that became that of another node, keeps its own without a complaint, and lists the leases anew',
        tests: [
          leases('gives a subnet to another node, at a revision that the first one knows: the first one leaves it'),
          leases('has the own key as it was before: that is no other node with this address'),
          leases('and has come to later revisions since: what the watch did not see is found all the same'),
          model('nodes and etcd under %s'),
        ],
      },
      {
        situation: 'The clock of a node is set, back or forth',
        flannel: 'not of flannel: renewal went by the time of day here before',
        source: 'a review of this code',
        ours: 'renews by a clock that does not jump',
        tests: [model('nodes and etcd under %s')],
      },
      {
        situation: 'etcd is away when a node starts',
        flannel: 'waits, and its pods with it',
        source: 'main.go by its source: the config is asked for again every second',
        ours: 'serves config, lease and peers as they were, says so, and goes on when etcd is back',
        tests: [
          leases('serves config, lease and peers as they were, and goes on when etcd is back'),
          leases('waits for etcd when the kept lease has ended'),
          flanneld(
            'a daemon killed and started while etcd is down serves from what it kept, and goes on when etcd is back',
          ),
        ],
      },
      {
        situation: 'etcd is away for a day',
        flannel: 'writes a line for each try',
        source: '#2470: 7.7 GB a day',
        ours: 'writes fewer than 20 lines: the first failure at once, then less and less often, with a count',
        tests: [outage('a node that runs'), outage('a node that starts')],
      },
      {
        situation: 'A daemon starts again and again',
        flannel: 'grants a new etcd lease at each start; the old ones stay for 24 hours',
        source: 'AcquireLease by its source; #875',
        ours: 'leaves none behind',
        tests: [
          leases('a daemon that starts again and again leaves no etcd leases behind, with and without its kept state'),
        ],
      },
      {
        situation: 'The value of the own lease is overwritten',
        flannel: 'is not looked at; the peers send wherever it says until the renewal',
        source: 'CompleteLease by its source',
        ours: 'is written again, and reported',
        tests: [leases('an own value that was overwritten with something %s is written again, and reported')],
      },
      {
        situation: 'Two nodes have one public address: behind one NAT, or a copied disk',
        flannel: 'share one lease, and overwrite each other',
        source: '#712, #1129; AcquireLease by its source',
        ours: 'the second is refused in one sentence, before peers send anything to it; the first goes on and reports it',
        tests: [
          leases('the second is refused in one sentence, the first goes on and reports it'),
          leases('the second writes nothing that peers would send by'),
          leases('is not confused with the machine that its disk was copied from'),
        ],
      },
      {
        situation: 'Two nodes with IPv6 alone',
        flannel:
          'both have the public address 0.0.0.0 and share one lease; the search for a free subnet can loop for ever',
        source: 'AcquireLease and allocateSubnet by their source',
        ours: 'are told apart by their IPv6 address, each with a subnet of its own',
        tests: [
          allocate('allocateSubnet() reuses the lease of the same IPv6 address, of two the one used last'),
          lease('of %o and %o is %s'),
          underlay6('release gives back the own lease alone'),
        ],
      },
      {
        situation: 'IPv6 is turned on in a network with IPv4-only leases',
        flannel: 'panics on the old leases',
        source: 'k3s #10726; Overlaps of a nil address by its source',
        ours: 'each node keeps its IPv4 subnet and gets one of IPv6',
        tests: [allocate('allocateSubnet() leaves a node its subnet when IPv6 is turned on, or off')],
      },
      {
        situation: 'The network config says SubnetMin behind SubnetMax',
        flannel: 'does not look',
        source: 'pkg/subnet/config.go by its source',
        ours: 'refuses it with both values',
        tests: [config('parseNetworkConfig() refuses %j: %s')],
      },
      {
        situation: '1,000 leases exist when a node starts',
        flannel: 'asks etcd once for each of them (LeaseTimeToLive)',
        source: 'pkg/subnet/etcd/registry.go by its source',
        ours: 'lists them in pages; every peer is in place, by its own address',
        tests: [control('a node that starts where 1,000 leases exist sends to each peer by its own address')],
      },
    ],
  },
  {
    title: 'Packets of the udp backend',
    rows: [
      {
        situation: 'flannel0 is deleted or set down',
        flannel: 'never heals',
        source: 'measured with v0.28.10; #869, #1070, #1434',
        ours: 'is made again within seconds, in the same process',
        tests: [flanneld('a deleted flannel0 is made again'), flanneld('flannel0 set down is set up again')],
      },
      {
        situation: 'The link of the underlay flaps, or the network service restarts',
        flannel: 'routes are gone and stay so',
        source: 'measured with v0.28.10; #1759, #1348',
        ours: 'routes come back',
        tests: [
          flanneld('a flap of the underlay is survived'),
          flanneld('an address of the underlay that goes and comes is survived'),
        ],
      },
      {
        situation: 'The route of the network is removed',
        flannel: 'is not looked at',
        source: '"Flannel doesn\'t monitor the state of host network", #869',
        ours: 'comes back',
        tests: [flanneld('a removed route comes back')],
      },
      {
        situation: 'A route of the operator is in the place of ours, or inside of the network',
        flannel: 'host-gw replaces it, others do not see it; seen here before: it was replaced and deleted',
        source: 'pkg/backend/route_network.go by its source',
        ours: 'stays, also at cleanup, and is reported',
        tests: [
          ownership(
            'routes of the operator to and inside the network stay at the start and at cleanup, and are reported',
          ),
          flanneld(
            'a route of somebody else in the place of ours stays, is reported, and is no trouble once it is gone',
          ),
        ],
      },
      {
        situation: 'flanneld restarts, is killed, or etcd is away meanwhile, while pods send',
        flannel: 'packets between pods leave by the default route, unencapsulated, until the device is back',
        source:
          'the TUN device goes with its process; "zero-downtime restart for all but udp", Documentation/running.md',
        ours: 'under systemd they wait in the device and the socket for the next flanneld, and none is lost; without it an unreachable route keeps them back, and what is lost is what is sent until the node is ready again',
        tests: [
          safety('after %s, etcd at hand: %s: no packet between pods leaves in the open'),
          flanneld('a restart loses only what is sent from its end until it is ready again, and changes no order'),
          restart('a restart loses no packet, and keeps the order of each flow'),
        ],
      },
      {
        situation: 'A node gets another subnet, or its subnet is taken by another node',
        flannel: 'subnet.env of the old lease stays, and pods start with its addresses',
        source: 'never removed, by its source',
        ours: 'the file goes before there is a new one, or for good',
        tests: [
          safety(
            'into another network removes what was left of the old one, and the file of the old lease before there is a new one',
          ),
          safety('a subnet that another node has taken leaves no file for pods behind'),
        ],
      },
      {
        situation: 'Routes of an earlier life exist at the start',
        flannel: 'stay',
        source: '#2554',
        ours: 'those with our protocol number inside of the network are removed',
        tests: [flanneld('a stale route of ours is removed at the start')],
      },
      {
        situation: 'A datagram comes from a host that is no node',
        flannel: 'is taken for a packet of a pod',
        source: 'proxy_amd64.c by its source; compare #961',
        ours: "is dropped, and counted; so is a source that is not inside of the sender's subnets",
        tests: [
          forward('drops what comes from no peer'),
          forward("drops a source outside of the sender's subnets"),
          reference('drops datagrams of strangers, spoofed sources and short ones'),
        ],
      },
      {
        situation: 'A packet has no hops left',
        flannel: 'is dropped in silence ("TODO")',
        source: 'proxy_amd64.c',
        ours: 'its sender gets "time exceeded", so traceroute works',
        tests: [
          interop('counts two hops between the nodes, as flannel does, and sends an error where flannel is silent'),
          reference('answers an expired TTL to the peer that has the source'),
        ],
      },
      {
        situation: 'One subnet lies inside of another',
        flannel: 'the first match counts, in an order that changes with traffic',
        source: 'find_route in proxy_amd64.c by its source',
        ours: 'the longest prefix counts',
        tests: [wire('takes the longest prefix')],
      },
      {
        situation: 'A datagram is larger than the buffer',
        flannel: 'is cut off and delivered',
        source: 'proxy_amd64.c by its source',
        ours: 'is dropped, and counted',
        tests: [reference('drops a datagram larger than the buffer')],
      },
      {
        situation: 'An IPv6 packet enters a device of IPv4',
        flannel: 'is read as IPv4',
        source: 'proxy_amd64.c by its source',
        ours: 'is refused',
        tests: [
          packet('refuses IPv6 and nonsense versions'),
          forward('drops an IPv6 packet before it looks for a route'),
        ],
      },
      {
        situation: 'Routes change while packets come without a pause',
        flannel: 'the change waits until there is a pause',
        source: 'a comment in proxy_amd64.c says so',
        ours: 'is taken over between two packets',
        tests: [reference('takes new routes over between two packets of a full queue')],
      },
      {
        situation: 'One of thousands of peers changes',
        flannel: 'each packet searches a list of all peers, each change the whole list',
        source: 'proxy_amd64.c by its source',
        ours: 'the packet thread gets the change alone; looking up costs the same for one peer and for thousands',
        tests: [engineControl('announces the change and nothing else')],
      },
      {
        situation: "The buffer of the socket or the device's queue has no room for more packets",
        flannel: 'is not looked at',
        source: 'pkg/backend/udp by its source',
        ours: 'each has a metric',
        tests: [
          traffic('what its socket has no room for is counted'),
          tunTap('transmitDrops() counts what the queue of a device had no room for'),
        ],
      },
      {
        situation: 'The thread that moves packets dies or hangs',
        flannel: 'the process lives on and says that it is well',
        source: 'pkg/backend/udp by its source',
        ours: 'starts it again; if it cannot be stopped the process ends with 1 for its supervisor',
        tests: [
          engines('an engine that dies makes the node unready and is started again, each time'),
          engines(
            'whose thread of the %s engine is stuck makes the node unready, and ends with 1 for its supervisor to start it again',
          ),
        ],
      },
      {
        situation: 'Another device has the name flannel0',
        flannel: 'takes the next number, and replaces routes',
        source: 'pkg/backend/udp by its source',
        ours: 'the device is left alone',
        tests: [flanneld('a device of another kind that has the name is left alone')],
      },
    ],
  },
  {
    title: 'The backends vxlan and host-gw',
    rows: [
      {
        situation: 'A node reboots, or its VXLAN device is made again',
        flannel:
          'with etcd the device gets a new random MAC address; with both families a peer takes it up only if that of each has changed',
        source: 'pkg/backend/vxlan/device.go and the node informer by their source; k3s #9957',
        ours: 'the MAC address stays, so that its peers have nothing to learn',
        tests: [backends('the MAC address outlives a reboot, so that peers go on')],
      },
      {
        situation: 'flannel.1 is deleted',
        flannel:
          'never heals: it is made again after 1 to 30 seconds, without its peers, and with a MAC address that is not published',
        source: 'measured with v0.28.10; the device watcher in pkg/backend/vxlan by its source',
        ours: 'comes back as it was, with addresses, neighbours, forwarding entries and routes',
        tests: [
          backends('a device that %s is as it was, and nothing is published anew'),
          faults('packets pass as before after $name'),
        ],
      },
      {
        situation: 'flannel-v6.1 is deleted',
        flannel: 'is not watched',
        source: 'the device watcher in pkg/backend/vxlan by its source',
        ours: 'comes back like that of IPv4',
        tests: [stateKernel('the devices come back with their parent')],
      },
      {
        situation: 'Neighbours, forwarding entries or routes of vxlan are flushed',
        flannel: 'are not looked at',
        source: 'pkg/backend/vxlan/vxlan_network.go by its source; #869',
        ours: 'come back',
        tests: [
          faults('packets pass as before after $name'),
          backends('a device that %s is as it was, and nothing is published anew'),
        ],
      },
      {
        situation: 'A peer comes back with another MAC address of its VXLAN device',
        flannel: 'the forwarding entry of the earlier one stays',
        source: 'pkg/backend/vxlan/vxlan_network.go by its source',
        ours: 'the new entry is made, and then the earlier one removed',
        tests: [
          backends('entries of a peer that is gone are removed, and those of a peer that moved are replaced'),
          stateKernel('follows a peer to another MAC address'),
        ],
      },
      {
        situation: 'A node is gone while flanneld is not running',
        flannel: 'its entries and routes stay',
        source: '#2554; pkg/backend/route_network.go by its source',
        ours: 'they are removed at the start, and no packet of the other peers is lost',
        tests: [
          faults('packets pass as before after $name'),
          stateKernel('removes the entries of peers that are gone, and leaves what the kernel has learned'),
        ],
      },
      {
        situation: 'VXLAN between IPv6 addresses',
        flannel: 'the MTU leaves 50 bytes for headers that have 70: packets of full size are lost',
        source: 'pkg/backend/vxlan/device.go by its source',
        ours: 'leaves 70',
        tests: [vxlan('leaves room for the outer header with %s'), backends('$name does what every backend has to do')],
      },
      {
        situation: 'A node behind NAT (`-public-ip`)',
        flannel: 'the device sends from the public address, which the host does not have',
        source: '#2247, in v0.27.4 and later',
        ours: 'sends from the address of the interface',
        tests: [vxlan('sends from the address of the interface, whatever the public one is')],
      },
      {
        situation: 'With `DirectRouting` the route to a peer changes: it is behind a router now, or no longer',
        flannel: 'is decided once, when the lease arrives',
        source: 'pkg/backend/vxlan/vxlan_network.go by its source',
        ours: 'is decided again when routes change',
        tests: [
          view('look() asks the kernel once a minute, and at once after the kernel has changed something'),
          vxlan('with DirectRouting sends to neighbours without the device, and to others through it'),
        ],
      },
      {
        situation: 'Another device has the name flannel.1, or its VNI and port',
        flannel:
          'a VXLAN device of the name is deleted if it differs; otherwise ends with the error of the system call',
        source: 'ensureLink in pkg/backend/vxlan/device.go by its source',
        ours: 'is left alone, and named with the command that makes room',
        tests: [
          backends('a device that somebody else made with the name is left alone, and said'),
          backends('a device of somebody else with the same VNI and port is named'),
        ],
      },
      {
        situation: 'The link of the underlay flaps, with vxlan or host-gw',
        flannel: 'the routes of vxlan never come back, those of host-gw after 9 seconds',
        source: 'measured with v0.28.10; #1759',
        ours: 'they come back at once',
        tests: [faults('packets pass as before after $name')],
      },
      {
        situation: 'A peer has another backend',
        flannel: 'is ignored with a line in the log',
        source: 'pkg/backend/vxlan/vxlan_network.go and route_network.go by their source',
        ours: 'is refused by name, in the log and in `flanneld status`',
        tests: [
          backends('$name does what every backend has to do'),
          hostGw('desired() refuses peers behind a router, and of another backend'),
        ],
      },
      {
        situation: 'The lease of a node is revoked or overwritten, and its node writes it again',
        flannel: 'the peers remove what leads to the node; the node itself ends, or does not notice',
        source: 'LeaseWatcher and CompleteLease by their source; seen here before: some packets were lost',
        ours: 'a lease that is gone stays for two seconds, so that no packet is lost',
        tests: [departures('and comes back is never removed'), faults('packets pass as before after $name')],
      },
      {
        situation: 'The address of a node changes, and its connection to etcd is dead',
        flannel: 'needs a restart',
        source: '#408, #1052; seen here before: the other nodes were told after 5 seconds',
        ours: 'etcd is told at once over a new connection',
        tests: [faults('packets pass as before after $name')],
      },
    ],
  },
  {
    title: 'What is left behind',
    rows: [
      {
        situation: 'Devices, routes and rules of other backends of flannel are there at the start',
        flannel: 'stay, and take packets away',
        source: '#2554, #654, #1145, k3s #5216',
        ours: 'those of the same network are removed, nothing of another one',
        tests: [
          ownership(
            'what other backends of flannel left in the network is removed at the start, and nothing of another network',
          ),
        ],
      },
      {
        situation: 'A host is cleaned up',
        flannel: 'has no command',
        source: '#886, #836, cilium #3219',
        ours: 'removes what flannel and flanneld made for this network, and nothing else',
        tests: [
          ownership('cleanup removes what flannel made for this network, ours and real flannel, and nothing else'),
        ],
      },
      {
        situation: 'Forwarding is turned on beside an interface whose default route is advertised',
        flannel: 'does not turn it on; seen here before: the other interface lost its route',
        source: 'net.ipv6.conf.*.accept_ra of the kernel',
        ours: 'the interface keeps the route, and goes on to hear of it',
        tests: [
          inFile('tests/integration/flanneld-forwarding.test.ts')(
            'another interface keeps the default route that a router advertises, and goes on to hear of it',
          ),
        ],
      },
    ],
  },
  {
    title: 'The firewall',
    rows: [
      {
        situation:
          "Rules of flannel's are there when this flanneld starts: of iptables, the older iptables, or nftables",
        flannel: 'its clean-up looks into the wrong table, and fails without an iptables binary',
        source: 'CleanUp in pkg/trafficmngr/iptables by its source; #836, tigera/docs #2768, k3s #5001',
        ours: 'are removed; those of another network stay',
        tests: [
          firewall(
            "rules of flannel's are removed at the start, in every kind of table, and those of another network stay",
          ),
        ],
      },
      {
        situation: 'EnableNFTables in the network config',
        flannel: 'rules that do not override a drop elsewhere, and no word of it',
        source: 'pkg/trafficmngr/nftables by its source',
        ours: 'nothing is written into tables of iptables; who drops is said',
        tests: [firewall('with EnableNFTables nothing is written into tables of iptables, and who drops is said')],
      },
      {
        situation: 'A client outside reaches a pod of another node through this one, in nftables mode',
        flannel: 'a rule with the wrong sense makes the last one dead: the client is not masqueraded',
        source: 'pkg/trafficmngr/nftables by its source; the iptables form is right',
        ours: 'nftables do what the iptables rules say',
        tests: [masquerade('a client outside is seen by a pod of another node with the address of this node')],
      },
      {
        situation: 'Somebody flushes the rules',
        flannel: 'in nftables mode they stay away',
        source: 'no resync in pkg/trafficmngr/nftables by its source',
        ours: 'they come back',
        tests: [
          flanneld('-ip-masq sets rules, and sets them again when somebody flushes them'),
          masquerade('rules that were deleted are there again after ensureRules()'),
        ],
      },
    ],
  },
  {
    title: 'Start, health and end',
    rows: [
      {
        situation: 'Somebody wants to know which nodes are reached, and what is not well',
        flannel: 'has no command for it: its log, ip(8), nft(8) and etcdctl have to be put together by hand',
        source: 'main.go of v0.28',
        ours: 'flanneld status shows the lease, each other node with its last answer, and what is not well with a remedy',
        tests: [
          status('shows the lease and the other nodes, without a port and without a flag, to root alone'),
          status('a node that nobody answers exits with 1, and says since when and what to do'),
          status('a stopped daemon is named with the command that continues it'),
        ],
      },
      {
        situation: 'A flag is misspelt',
        flannel: 'prints its usage and exits with 0',
        source: 'measured with v0.28.10',
        ours: 'exits with 2 and names the flag',
        tests: [flanneld('exit codes: 2 for wrong usage, 0 for --help and --version')],
      },
      {
        situation: 'The interface gets another name or MAC address, or a virtual address comes and goes',
        flannel: 'is not looked at after the start',
        source: 'main.go by its source',
        ours: 'is followed: the same lease and address, and traffic goes on',
        tests: [
          underlay('of its interface, by another name or another MAC address, changes nothing'),
          underlay('by virtual addresses that come and go changes nothing'),
          underlay('by being removed is reported, and used again when it returns'),
        ],
      },
      {
        situation: 'A flag of flannel',
        flannel: 'is documented by its usage',
        source: '`flanneld -help` of v0.28',
        ours: 'is the same, better, or refused with the reason; a test compares names, kinds and defaults with what flannel prints',
        tests: [
          inFile('tests/interop/flags.test.ts')(
            'every flag of flannel has the same name, kind and default here, and a row that says how it relates',
          ),
        ],
      },
      {
        situation: '`-ip-blackhole-route`, and somebody deletes the route',
        flannel: 'adds it 5 s after the start, and again every 5 s',
        source: 'main.go by its source',
        ours: 'is there before pods are started and put back at once, behind the route of a bridge of pods; gone after a start without the flag',
        tests: [
          safety(
            '-ip-blackhole-route drops packets for addresses that no pod has, behind the routes of pods, and is put back',
          ),
        ],
      },
      {
        situation:
          'The config has options that cannot work: two WireGuard tunnels at one port, IPv6 over ipip, an MTU that leaves nothing',
        flannel: 'fails when it makes the device, or panics on the first lease',
        source: 'pkg/backend/wireguard and pkg/backend/route_network.go by their source',
        ours: 'is refused with the config, in one sentence',
        tests: [config('parseNetworkConfig() refuses %j with %j: %s')],
      },
      {
        situation: 'A pre-shared key of wireguard is mistyped',
        flannel: "the library's error",
        source: 'pkg/backend/wireguard/device.go by its source',
        ours: 'is refused without being shown',
        tests: [config('parseBackendConfig() refuses the PSK %j without showing it')],
      },
      {
        situation: 'An etcd endpoint is written without its scheme or port, or with quotes',
        flannel: 'the error of the client library, again and again',
        source: 'pkg/subnet/etcd/registry.go by its source',
        ours: 'works, or is refused in words',
        tests: [
          inFile('daemon/src/subnet/etcd/endpoints.test.ts')('parseEndpoints() reads %s'),
          inFile('daemon/src/subnet/etcd/endpoints.test.ts')('parseEndpoints() refuses %s in words'),
        ],
      },
      {
        situation: 'The source of config and leases is silent for long',
        flannel: 'is ready',
        source: 'main.go by its source',
        ours: 'is reported, with its name and since when',
        tests: [
          inFile('daemon/src/subnet/silence.test.ts')(
            'silenceTrouble() is silent itself until the source was for too long, then names it',
          ),
        ],
      },
      {
        situation: 'An etcd with TLS, and no client certificate',
        flannel: 'ignores the authority unless a client certificate is given',
        source: 'pkg/subnet/etcd/registry.go by its source',
        ours: 'the authority alone is enough',
        tests: [
          flanneld('it speaks TLS with etcd, by a client certificate or with the authority alone'),
          options('parseOptions() allows a certificate authority without a client certificate'),
        ],
      },
      {
        situation: 'Something breaks after the start',
        flannel: '/readyz says "ready" for ever after the first time',
        source: 'main.go by its source',
        ours: '/readyz says what is wrong, and is ready again afterwards',
        tests: [flanneld('a node whose interface is down is not ready, and is again when it is up')],
      },
      {
        situation: 'No other node can be reached: a port is closed between the nodes',
        flannel: 'is ready',
        source: 'main.go by its source; #2388',
        ours: 'is not ready, and says how long nobody has answered and which port to look at; the process stays',
        tests: [
          reach('a node that nobody answers is not ready until somebody does, and its process stays'),
          reach('one silent node of two is a detail, with its name'),
          reach6(
            'IPv6 alone: the peer is probed by ICMPv6, also with large packets, and its silence makes the node not ready',
          ),
          reach6('both families: the subnets of a peer are probed each by its own, and one that is silent is named'),
        ],
      },
      {
        situation: 'The interface, or its address, comes later than flanneld',
        flannel: 'ends; a supervisor has to start it again and again',
        source: 'main.go by its source: no wait for the interface',
        ours: 'waits, and says for what',
        tests: [
          underlay(
            'an interface that comes late, by another name, and gets its address later still, is waited for in words',
          ),
          underlay(
            'a node that starts before its interface has an address, and before etcd, serves when both are there',
          ),
        ],
      },
      {
        situation: 'Reading the network from the kernel fails for a moment',
        flannel: 'the error is logged at most; seen here before: the process ended',
        source: 'errors "logged and swallowed" in its handlers, by its source',
        ours: 'is reported and tried again; packets go on',
        tests: [
          underlayUnit('watch')('watchUnderlay() goes on through errors of netlink, reports them, and logs each once'),
        ],
      },
      {
        situation: 'A task of the control side fails: a watch, a check, the health pages',
        flannel: 'logs the error and goes on without; seen here before: the process ended, and packets with it',
        source: 'errors "logged and swallowed" in its handlers, by its source',
        ours: 'is begun again, and reported until it runs',
        tests: [
          inFile('daemon/src/tasks.test.ts')(
            'persistent() restarts a task that failed, reports it, and clears the report once the task runs',
          ),
        ],
      },
      {
        situation: 'A network of thousands of nodes and its metrics',
        flannel: 'has none',
        source: 'main.go by its source',
        ours: 'metrics by peer are bounded, and can be turned off',
        tests: [operate('metrics')('names no more than some peers, adds up the rest, and names none when that is off')],
      },
      {
        situation: 'subnet.env is removed or changed',
        flannel: 'is written once; pods cannot start any more',
        source: '#2253, #2232',
        ours: 'is written again',
        tests: [
          inFile('daemon/src/operate/subnet-file.test.ts')(
            'keepSubnetFile() writes the file again when it is removed or changed, and reports trouble',
          ),
        ],
      },
      {
        situation: 'An operator wants figures',
        flannel: 'has no metrics',
        source: 'main.go by its source',
        ours: '/metrics',
        tests: [flanneld('/metrics counts packets, and shows that the daemon uses no more than 80 MB')],
      },
      {
        situation: 'A node leaves for good',
        flannel: 'has no command for it; rules, routes and the lease stay',
        source: '#886, #739, #820, #2063',
        ours: '"flanneld release" gives the lease back, "flanneld cleanup" removes the rest',
        tests: [
          flanneld('release gives back the lease, cleanup removes what is left'),
          cleanup('removes all that flanneld and flannel made, first shows it, and leaves what is of others'),
        ],
      },
      {
        situation: 'A password for etcd',
        flannel: 'is logged at the start, with all other options',
        source: '"CLI flags config: %+v" in main.go by its source',
        ours: 'is in no log and on no page',
        tests: [
          inFile('tests/integration/flanneld-secrets.test.ts')(
            'a password of etcd from %s is in no log and on no page, whether it is right or wrong',
          ),
        ],
      },
      {
        situation: 'A second flanneld starts on the same port',
        flannel: 'ends with the error of the system call',
        source: 'pkg/backend/udp by its source',
        ours: 'ends with a sentence that asks whether another flanneld runs',
        tests: [flanneld('a second flanneld on the same port fails with a hint')],
      },
    ],
  },
  {
    title: 'Reported in public, tried here',
    rows: [
      {
        situation: 'A lease says that its node is reached at an address inside of the overlay',
        flannel: 'the packet circles through the tunnel for ever',
        source: '#1433; 400,000 packets/s seen here before',
        ours: 'such a peer is refused, with the reason; what the kernel routes back to the device is dropped',
        tests: [
          safety('of a node at %s is refused, and nothing circulates'),
          safety('through the tunnel of another network on the host is refused'),
          paths('a packet is sent once, and what comes back of it is dropped, whole or in fragments'),
          forward('drops a datagram to a peer, whole or a fragment, that the kernel routed back to the device'),
        ],
      },
      {
        situation: 'The bridge of pods matches -iface-regex when flanneld starts again',
        flannel: 'takes cni0, publishes an address of a pod, and cuts the pods off',
        source: '#1433, #981',
        ours: 'keeps its interface and its subnet; devices and addresses of the overlay are no candidates',
        tests: [
          underlay('a restart keeps interface and subnet when the bridge of pods matches -iface-regex by now'),
          underlayUnit('select')(
            'selectInterface() chooses no address of pods, nor a device of the overlay, by a pattern',
          ),
        ],
      },
      {
        situation: 'Two networks on a host, each with a flanneld',
        flannel: 'both use one nftables table and flush it; seen here before: each deleted the route of the other',
        source: '#919, #392, multus #49',
        ours: 'both work; each owns what belongs to its network',
        tests: [ownership('%s both work, without a change of routes after the start')],
      },
      {
        situation: "The network of flannel's documentation, 10.0.0.0/8, on hosts whose own addresses are in it",
        flannel: 'the route of the network takes etcd and the peers away',
        source: '#112, #479',
        ours: 'each peer has a route of its own instead, and nothing that is needed is covered',
        tests: [
          safety("flannel's documented network, which holds the addresses of nodes and etcd, leaves both reachable"),
        ],
      },
      {
        situation: '"down" is cut off in the middle, or a part of a stack is destroyed alone',
        flannel: 'not of flannel: "cni0 already has an IP address different from ...", for ever, here before',
        source: 'pulumi #6283, #3878, pulumi-github #731',
        ours: '"up" completes the stack from there, and "down" leaves nothing',
        tests: [
          interrupted('at "%s" is followed by an up that completes the stack'),
          interrupted("is completed after a targeted destroy of a node's software"),
          interrupted('goes back to the artifact before by a targeted up, with a deletion of that artifact pending'),
        ],
      },
      {
        situation: 'Another interface gets the better default route, or a virtual address comes',
        flannel: 'the choice changes with the next start',
        source: '#408, #205, k3s #72',
        ours: 'the address used before is kept as long as the node has it',
        tests: [
          underlay(
            'a restart keeps the address when another interface has the better default route, and a virtual address has come',
          ),
        ],
      },
      {
        situation: 'The address of the node changes, while flanneld runs or between two runs',
        flannel: 'gives it another subnet, or needs a restart; running pods are lost',
        source: '#408, #205, #1052, #760',
        ours: 'keeps the subnet, and the peers hear of the new address',
        tests: [
          underlay('is followed while flanneld runs: same process, same subnet, and the other nodes know it'),
          leases('keeps its subnet while it runs, and its peers hear of the new address'),
          leases('keeps its subnet between two runs, and publishes the new address'),
        ],
      },
      {
        situation: 'etcd is out of space when a lost lease must be leased again',
        flannel: 'tries once a minute at best; /readyz says "ready"',
        source: 'etcd #11309, cilium #1172, k3s #4787',
        ours: 'leases it as soon as there is space, and until then says why it is not ready',
        tests: [
          leases(
            'a lost lease is leased again as soon as etcd has space, and until then the node says why it is not ready',
          ),
          leases('a lease is renewed, and leased again after a restart, while etcd is out of space'),
        ],
      },
      {
        situation: 'Docker sets the policy of FORWARD to drop',
        flannel: 'accepts in a chain of its own, at the end, only in iptables; in nftables mode that does not help',
        source: '#609, #799, PR #872, moby #50566',
        ours: 'pods talk, also after a flush; a table of somebody else that drops is named, with what to do',
        tests: [
          firewall(
            'pods talk although Docker drops what is forwarded, also after a flush, and cleanup restores the chain',
          ),
          firewall('a table of others that rejects is named in /readyz with what to do, until it does not any more'),
        ],
      },
      {
        situation: 'A kernel without IPv6, by a boot option or built so',
        flannel: 'not of flannel: never ready here before, "Invalid mix of BigInt"',
        source: 'plugins #102',
        ours: 'serves IPv4, and refuses a network of both families in one sentence',
        tests: [
          kernels(
            'two nodes on Linux 6.1 without IPv6 serve IPv4, and refuse in one sentence a network of both families, and one that needs a missing module',
          ),
        ],
      },
      {
        situation: 'Forwarding is turned off some time after the start',
        flannel: 'stays off; pods are cut off, and the node says that it is ready',
        source: 'openshift/origin #9931',
        ours: 'is on again within seconds, and the log says so',
        tests: [
          reach('forwarding that somebody turns off is on again within seconds, on the host and on an interface'),
        ],
      },
      {
        situation: 'The path to one peer takes less than the interface: a smaller MTU, or segmentation done wrong',
        flannel: 'is not looked at; seen here before: one such peer turned an offload off for all',
        source: '#1011, tailscale #21335, nebula PR #16, talos #13457',
        ours: 'only that peer pays, the log says which and why, and a path that loses large packets is found',
        tests: [
          paths('TCP is carried to both, and only the narrow one pays'),
          reach('a path that loses large packets is found'),
        ],
      },
      {
        situation: 'A path to a peer swallows large packets without an ICMP error',
        flannel: 'connections of pods hang at their first large packet',
        source: '#1011, #463, #841',
        ours: 'the limit is found within about half a minute, pods learn it by ICMP, packets that may be fragmented are, and it ends when large packets arrive again',
        tests: [
          fast('fragments %s above the limit of a path as the reference engine'),
          reach(
            'pods learn how narrow a path is that swallows large packets, and send large ones again when it is wide',
          ),
          forward('passes an echo request of the node itself above the limit of a path, but not above the MTU'),
        ],
      },
      {
        situation: 'The MTU of the interface changes while the daemon runs',
        flannel: 'is not looked at after the start; seen here before: paths were probed with the MTU of the start',
        source: 'main.go by its source',
        ours: 'the device and the probes follow',
        tests: [
          reach('an MTU that changes while flanneld runs is that of the large probes from then on'),
          reach6('the health endpoint has an address of each family, and a rule against the pods of one is found'),
        ],
      },
      {
        situation: 'Nodes of different MTU in one overlay',
        flannel: 'large packets get lost in silence',
        source: '#1011, #463, #841',
        ours: 'the node that sends more than the other takes says so',
        tests: [reach('nodes of different MTU in one overlay: the one that sends more than the other accepts says so')],
      },
      {
        situation: 'systemd-networkd starts again and removes routes that it does not know',
        flannel: 'does not look at them again',
        source: '#1759, #1348',
        ours: 'all of them come back within seconds',
        tests: [flanneld('all routes that a network service removes as foreign come back')],
      },
      {
        situation: 'The network config is stored with quotes around it, with backslashes, or as a JSON string',
        flannel: 'says what its parser of JSON says, again and again',
        source: 'pkg/subnet/config.go by its source',
        ours: 'is refused in one sentence that says what to store',
        tests: [config('parseNetworkConfig() refuses %s with one sentence that says what to store')],
      },
      {
        situation: 'A host reboots, and the addresses of its pods are still reserved',
        flannel: 'they stay reserved, until none is free',
        source: 'host-local of containernetworking by its source',
        ours: '"up" gives nodes their subnets again, and no address stays reserved for a pod that is gone',
        tests: [interrupted('comes back after a reboot of the host, without addresses that are taken for ever')],
      },
      {
        situation:
          'The state of a stack has code that cannot remove a node, or "refresh" runs after a "down" that was cut off',
        flannel: 'not of flannel: the stack could neither be completed nor removed here before',
        source: 'pulumi, dynamic providers: their code is kept in the state',
        ours: '"up" completes it, with fewer nodes, too',
        tests: [
          interrupted('loses a node whose code in the state is faulty'),
          interrupted('is completed after a down that was killed and a refresh'),
        ],
      },
      {
        situation: 'A checkout is moved, or the settings of a stack get lost',
        flannel: 'not of flannel: "up" went back to the default number of nodes without a word here before',
        source: 'Pulumi keeps settings in the checkout',
        ours: 'what is deployed is kept, and fewer nodes are asked about',
        tests: [
          interrupted('is the same to a checkout in another folder, which can remove it'),
          stackSettings('a checkout without the file keeps what is deployed'),
          stackSettings('fewer nodes in the file are asked about, and nothing is changed without an answer'),
        ],
      },
      {
        situation: 'A misspelt or wrong setting of a stack',
        flannel: 'not of flannel: seen here before, it was stored and every later command failed',
        source: 'a walk through the documentation',
        ours: 'is refused before anything starts, with the likely name, and not stored',
        tests: [settings('a mistake of this command is wrong usage: %j')],
      },
    ],
  },
  {
    title: 'The CNI plugin',
    rows: [
      {
        situation: 'The runtime gives a pod DNS servers, and the delegate is another plugin',
        flannel: 'hands them on',
        source: 'flannel-io/cni-plugin by its source',
        ours: 'the same: what the runtime gives reaches the delegate as it came',
        tests: [inFile('cni/src/delegate.test.ts')('hands runtimeConfig on as the runtime gave it')],
      },
      {
        situation: 'subnet.env has a line without "="',
        flannel: 'panics',
        source: 'flannel-io/cni-plugin, flannel.go by its source',
        ours: 'an error that names the line',
        tests: [subnetEnv('parseSubnetEnv() refuses %j')],
      },
      {
        situation: 'Two interfaces of one container',
        flannel: 'share one state file: the second overwrites the first, and one address leaks',
        source: 'flannel-io/cni-plugin by its source; multus',
        ours: 'come and go on their own',
        tests: [
          inFile('tests/integration/cni-conflicts.test.ts')(
            '#28 two interfaces of one container come and go on their own',
          ),
        ],
      },
      {
        situation: 'DEL fails, since its ipam does',
        flannel: 'the state file is gone all the same: the next DEL "succeeds", and the address leaks',
        source: 'flannel-io/cni-plugin, flannel_linux.go by its source; #2264, #1416, microk8s #5267',
        ours: 'keeps what the next DEL needs',
        tests: [
          inFile('tests/integration/cni-del.test.ts')(
            '#46 DEL whose ipam fails keeps what it needs, and the next one succeeds',
          ),
        ],
      },
      {
        situation: 'Somebody flushes the ruleset while the plugin masquerades (the daemon without -ip-masq)',
        flannel: 'running pods stay without, until they are made anew',
        source: 'the bridge plugin of containernetworking by its source',
        ours: 'the next ADD brings masquerading back for all of them',
        tests: [
          inFile('tests/integration/cni-traffic.test.ts')(
            '#52 masquerading of all pods is back with the next ADD when somebody has flushed the ruleset',
          ),
        ],
      },
      {
        situation: 'CHECK, GC and STATUS',
        flannel: 'CHECK always says yes; the others are missing',
        source: 'flannel-io/cni-plugin by its source; #2264, #1416, k3s #5885',
        ours: 'CHECK compares, GC takes back what the runtime does not name, STATUS says why an ADD would fail',
        tests: [
          inFile('tests/integration/cni-check.test.ts')('#48 CHECK misses %s'),
          inFile('tests/integration/cni-check.test.ts')('#49 GC removes what the runtime does not name'),
          inFile('tests/integration/cni-check.test.ts')('#50 STATUS is well, or says why an ADD would fail'),
        ],
      },
    ],
  },
  {
    title: 'Leases in Kubernetes',
    rows: [
      {
        situation: 'The node has no podCIDR yet',
        flannel: 'ends, and is started again and again by kubelet',
        source: 'kube.go, AcquireLease, by its source; #728, #1344, #1224',
        ours: 'waits, and says what is missing and which flag gives it',
        tests: [kube('join() waits for the podCIDR, and says what it waits for')],
      },
      {
        situation: 'The Node object has no annotation at all, as one that was made by hand',
        flannel: 'panics: assignment to entry in nil map',
        source: 'v0.28.7, seen in the interop tests',
        ours: 'annotates it',
        tests: [kube('join() annotates a node without any annotation')],
      },
      {
        situation: 'One family of a dual-stack node changes, like the MAC address of its IPv6 device after a reboot',
        flannel: 'passes over the update unless the other family has changed, too',
        source: 'kube.go, handleUpdateLeaseEvent, by its source; k3s #9957',
        ours: 'tells what has changed',
        tests: [kube('a change of one family alone reaches the other nodes')],
      },
      {
        situation: 'The Node object is removed, and registered again by kubelet',
        flannel: 'its annotations are gone until flannel is started again: other nodes do not know it',
        source: 'kube.go writes them in AcquireLease alone, by its source',
        ours: 'writes them again',
        tests: [kube('hold() annotates a node that was removed and registered again, and says so while it is away')],
      },
      {
        situation: 'The node stops serving, or a cloud’s controller sets NetworkUnavailable',
        flannel: 'the condition stays as it is',
        source: 'kube.go, CompleteLease, by its source',
        ours: 'true with the reason while it does not serve, and false again',
        tests: [
          kube(
            'hold() sets NetworkUnavailable as flannel does, and true with the reason while the node does not serve',
          ),
        ],
      },
      {
        situation: 'The API server is away when flannel starts',
        flannel: 'ends',
        source: 'kube.go, NewSubnetManager, by its source',
        ours: 'serves with what the last run kept',
        tests: [
          kube('a start without the server serves with what the last run kept, and writes it when the server is back'),
        ],
      },
    ],
  },
];
