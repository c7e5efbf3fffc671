/** What can go wrong on one node of a cluster, while numbered datagrams pass between its pods and those of another. */
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type Cluster, GATEWAY, type Node, PREFIX, until } from './cluster.ts';
import type { EtcdServer } from './etcd-server.ts';

export const BACKENDS = ['udp', 'vxlan', 'host-gw'] as const;
export type BackendType = (typeof BACKENDS)[number];

export interface Lab {
  readonly backend: BackendType;
  readonly cluster: Cluster;
  /** Where the faults are. */
  readonly a: Node;
  readonly b: Node;
  /** On which no flanneld runs, as a rule. */
  readonly c: Node;
  /** Without which etcd has no leader. */
  readonly etcdPartner: EtcdServer;
}

export interface Fault {
  readonly name: string;
  /** All, unless said. */
  readonly backends?: readonly BackendType[];
  /** Backends that lose packets until all is well again. The others lose none at all. */
  readonly interrupts: readonly BackendType[];
  /** Resolves when the trouble is over, as far as it is not for flanneld to mend. */
  readonly cause: (lab: Lab) => void | Promise<void>;
  /** What must be true again, beside packets that pass both ways. */
  readonly healed?: (lab: Lab) => boolean;
}

const NONE: readonly BackendType[] = [];
const NEW_ADDRESS = '10.64.0.116';
const STRAY = '10.5.250.0';
const FLAGS = ['-ip-masq', '-iptables-resync=1'];

export const start = (node: Node): void => node.start(FLAGS);
export const leaseKey = (node: Node): string => `${PREFIX}/subnets/${node.subnet.replace('.1/24', '.0-24')}`;
export const strayKey = `${PREFIX}/subnets/${STRAY}-24`;
export const stateDirectory = (node: Node): string => path.dirname(node.subnetFile);

const seconds = (count: number) => new Promise<void>((resolve) => setTimeout(resolve, count * 1000));

function addStray({ backend, cluster }: Lab): void {
  const more = {
    udp: '',
    vxlan: ',"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:99"}',
    'host-gw': ',"BackendType":"host-gw"',
  };
  cluster.etcd.put(strayKey, `{"PublicIP":"10.64.0.99","PublicIPv6":null${more[backend]}}`);
}

const isPublished = ({ a, cluster }: Lab, address: string): boolean =>
  cluster.etcd.get(leaseKey(a))?.includes(`"${address}"`) === true;
const knowsStray = ({ a }: Lab): boolean => a.probe('metrics').includes('flannel_leases 3');
const hasEntriesOfStray = ({ a }: Lab): boolean =>
  /10\.5\.250\.0|10\.64\.0\.99|02:00:00:00:00:99/.test(
    a.ip('route') + a.ip('neighbour', 'show', 'nud', 'permanent') + a.run('bridge', 'fdb'),
  );

/** Between the node and etcd, both ways. */
async function partitioned({ a }: Lab, meanwhile: () => void | Promise<void>): Promise<void> {
  const chains = ['input', 'output'].map((hook) => `chain ${hook} { type filter hook ${hook} priority 0; tcp`);
  const [input, output] = [`${chains[0]} sport 2379 drop; }`, `${chains[1]} dport 2379 drop; }`];
  a.run('nft', `table ip fltest { ${input}; ${output}; }`);
  await meanwhile();
  a.run('nft', 'delete table ip fltest');
}

/** On the way between the nodes, both ways: `verdict` for each packet that `match` chooses. */
async function degraded({ cluster }: Lab, rule: (other: string) => string): Promise<void> {
  const chain = (port: string, other: string) =>
    `chain ${port} { type filter hook ingress device ${port} priority 0; meta protocol ip ${rule(other)}; }`;
  cluster.router('nft', `table netdev fltest { ${chain('p0', 'p1')}; ${chain('p1', 'p0')}; }`);
  await seconds(2);
  cluster.router('nft', 'delete table netdev fltest');
}

/** What an operator or a network service restores, and flanneld does not. */
const addDefaultRoute = (node: Node) => node.ip('route', 'replace', 'default', 'via', GATEWAY);

async function killed({ a }: Lab, meanwhile: () => void = () => {}): Promise<void> {
  await a.kill();
  meanwhile();
  start(a);
}

/** A call to etcd that waits for an answer to the earlier address counts as a failover when its time is over. */
async function renumber(lab: Lab, address: string): Promise<void> {
  const { a } = lab;
  const failovers = () => /^flannel_source_failovers_total.* (\d+)$/m.exec(a.probe('metrics'))![1];
  const before = failovers();
  a.ip('address', 'flush', 'dev', 'eth0');
  a.ip('address', 'add', `${address}/24`, 'dev', 'eth0');
  addDefaultRoute(a);
  await until(() => isPublished(lab, address));
  if (failovers() !== before) throw new Error('The address was published only after a call to etcd had timed out');
}

const FLUSH_FDB =
  "bridge fdb show dev flannel.1 | while read mac rest; do bridge fdb del $mac dev flannel.1 self $(echo $rest | grep -o 'dst [0-9.]*'); done";

const OF_FLANNELD: readonly Fault[] = [
  { name: 'kill -9, and a supervisor that starts it again', interrupts: ['udp'], cause: (lab) => killed(lab) },
  {
    // Packets wait in the queue of the device and in the socket's buffer.
    name: 'SIGSTOP for two seconds',
    interrupts: NONE,
    cause: async ({ a }) => {
      process.kill(a.pid!, 'SIGSTOP');
      await seconds(2);
      process.kill(a.pid!, 'SIGCONT');
    },
  },
  {
    name: 'a disk that is full while a lease comes and flanneld is killed',
    interrupts: ['udp'],
    cause: async (lab) => {
      const filler = path.join(stateDirectory(lab.a), 'filler');
      try {
        writeFileSync(filler, Buffer.alloc(2 << 20));
        throw new Error('The disk has room');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      }
      addStray(lab);
      await seconds(0.5);
      await killed(lab);
      await lab.a.untilReady();
      rmSync(filler);
    },
    healed: knowsStray,
  },
  {
    name: 'a node that dies while flanneld is dead, whose entries are left',
    interrupts: ['udp'],
    cause: async (lab) => {
      addStray(lab);
      while (!knowsStray(lab)) await seconds(0.05);
      await killed(lab, () => lab.cluster.etcd.etcdctl('del', strayKey));
    },
    healed: (lab) => !hasEntriesOfStray(lab) && lab.a.probe('metrics').includes('flannel_leases 2'),
  },
];

const OF_ETCD: readonly Fault[] = [
  {
    name: 'etcd killed for a second',
    interrupts: NONE,
    cause: async (lab) => {
      await lab.cluster.etcd.stop();
      await seconds(1);
      await lab.cluster.etcd.start();
      addStray(lab);
    },
    healed: knowsStray,
  },
  {
    name: 'etcd frozen for a second',
    interrupts: NONE,
    cause: async (lab) => {
      lab.cluster.etcd.pause();
      await seconds(1);
      lab.cluster.etcd.resume();
      addStray(lab);
    },
    healed: knowsStray,
  },
  {
    name: 'etcd without a leader for two seconds',
    interrupts: NONE,
    cause: async (lab) => {
      await lab.etcdPartner.stop();
      await seconds(2);
      await lab.etcdPartner.start();
      addStray(lab);
    },
    healed: knowsStray,
  },
  {
    name: 'a partition between the node and etcd',
    interrupts: NONE,
    cause: (lab) =>
      partitioned(lab, async () => {
        addStray(lab);
        await seconds(2);
      }),
    healed: knowsStray,
  },
  {
    name: 'etcd restarted and compacted behind a partition',
    interrupts: NONE,
    cause: (lab) =>
      partitioned(lab, async () => {
        await lab.cluster.etcd.stop();
        await lab.cluster.etcd.start();
        addStray(lab);
        lab.cluster.etcd.compact();
      }),
    healed: knowsStray,
  },
];

const OF_LEASES: readonly Fault[] = [
  {
    name: 'a lease that is revoked',
    interrupts: NONE,
    cause: ({ a, cluster: { etcd } }) => {
      const id = BigInt(etcd.record(leaseKey(a))!.leaseId).toString(16);
      etcd.etcdctl('lease', 'revoke', id);
    },
    healed: (lab) => isPublished(lab, lab.a.address),
  },
  {
    name: "a second node with this one's public address",
    interrupts: NONE,
    cause: async ({ a, c }) => {
      c.start(['-iface=eth0', `-public-ip=${a.address}`]);
      const { code } = await c.untilEnded();
      // host-gw takes no public address but the interface's own.
      const refusals = ["which is also this node's", 'is not that of eth0'];
      const isRefused = code === 1 && refusals.some((text) => c.text.includes(text));
      if (!isRefused) throw new Error(`The second node was not refused:\n${c.text}`);
    },
    healed: (lab) => isPublished(lab, lab.a.address),
  },
  {
    name: 'the own key, overwritten with something that is no lease',
    interrupts: NONE,
    cause: ({ a, cluster }) => cluster.etcd.put(leaseKey(a), 'not JSON'),
    healed: (lab) => isPublished(lab, lab.a.address),
  },
];

const OF_THE_KERNEL: readonly Fault[] = [
  {
    name: 'flannel0 deleted',
    backends: ['udp'],
    interrupts: BACKENDS,
    cause: ({ a }) => void a.ip('link', 'delete', 'flannel0'),
  },
  {
    name: 'flannel.1 deleted',
    backends: ['vxlan'],
    interrupts: BACKENDS,
    cause: ({ a }) => void a.ip('link', 'delete', 'flannel.1'),
  },
  {
    name: 'cni0 deleted, and made again for the next pod',
    interrupts: BACKENDS,
    cause: ({ a }) => {
      a.ip('link', 'delete', 'cni0');
      a.addPodAddress();
    },
  },
  { name: 'routes flushed', interrupts: BACKENDS, cause: ({ a }) => void a.ip('route', 'flush', 'proto', '241') },
  {
    name: 'rules flushed',
    interrupts: NONE,
    cause: ({ a }) => void a.run('nft', 'flush', 'ruleset'),
    healed: ({ a }) => a.run('nft', 'list', 'ruleset').includes('masquerade'),
  },
  {
    name: 'FDB flushed',
    backends: ['vxlan'],
    interrupts: BACKENDS,
    cause: ({ a }) => void a.run('sh', '-c', FLUSH_FDB),
  },
  {
    name: 'flannel.1 made a port of a bridge, without ARP, of another MTU and TTL',
    backends: ['vxlan'],
    interrupts: BACKENDS,
    cause: ({ a }) => {
      a.ip('link', 'add', 'br0', 'type', 'bridge');
      for (const setting of ['master br0', 'arp off', 'mtu 600', 'type vxlan ttl 1']) {
        a.ip('link', 'set', 'flannel.1', ...setting.split(' '));
      }
    },
    healed: ({ a }) => {
      const { flags, master, mtu, linkinfo } = JSON.parse(a.ip('-d', '-j', 'link', 'show', 'flannel.1'))[0];
      return !flags.includes('NOARP') && master === undefined && mtu === 1450 && linkinfo.info_data.ttl === 0;
    },
  },
  {
    name: 'neighbours flushed',
    backends: ['vxlan'],
    interrupts: BACKENDS,
    cause: ({ a }) => void a.ip('neighbour', 'flush', 'dev', 'flannel.1', 'nud', 'permanent'),
  },
];

const OF_THE_UNDERLAY: readonly Fault[] = [
  {
    name: 'eth0 down for half a second',
    interrupts: BACKENDS,
    cause: async ({ a }) => {
      a.ip('link', 'set', 'eth0', 'down');
      await seconds(0.5);
      a.ip('link', 'set', 'eth0', 'up');
      addDefaultRoute(a);
    },
  },
  {
    name: 'eth0 without a carrier for half a second',
    interrupts: BACKENDS,
    cause: async ({ cluster }) => {
      cluster.router('ip', 'link', 'set', 'p0', 'down');
      await seconds(0.5);
      cluster.router('ip', 'link', 'set', 'p0', 'up');
    },
  },
  {
    name: 'another MAC address of eth0',
    interrupts: BACKENDS,
    cause: ({ a }) => void a.ip('link', 'set', 'eth0', 'address', '02:00:00:00:77:01'),
  },
  {
    name: 'another address of eth0',
    interrupts: BACKENDS,
    cause: (lab) => renumber(lab, NEW_ADDRESS),
    healed: (lab) => isPublished(lab, NEW_ADDRESS),
  },
  {
    name: 'the earlier address of eth0',
    interrupts: BACKENDS,
    cause: (lab) => renumber(lab, lab.a.address),
    healed: (lab) => isPublished(lab, lab.a.address),
  },
  {
    name: 'a link that loses a fifth of the packets',
    interrupts: BACKENDS,
    cause: (lab) => degraded(lab, () => 'numgen random mod 100 < 20 drop'),
  },
  {
    name: 'a link that delivers a fifth of the packets twice',
    interrupts: NONE,
    cause: (lab) => degraded(lab, (other) => `numgen random mod 100 < 20 dup to ${other}`),
  },
];

export const FAULTS = {
  'of etcd': OF_ETCD,
  'of leases': OF_LEASES,
  'of what the kernel has': OF_THE_KERNEL,
  'of the underlay': OF_THE_UNDERLAY,
  // A node whose key was written by others is ready when it starts again, or a minute later.
  'of flanneld': OF_FLANNELD,
} as const;

/** A disk for the state of a node that a test can fill. */
export function mountState(node: Node): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'fltest', stateDirectory(node)]);
}

export function unmountState(node: Node): void {
  execFileSync('umount', [stateDirectory(node)]);
}
