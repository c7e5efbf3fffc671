/** Every flag of flanneld with its kind, default and help: what -help and docs/flags.md show, and what options.ts reads. */
import {
  DEFAULT_BUSY_POLL_US,
  DEFAULT_SOURCE_PORTS,
  ENGINE_NAMES,
  MAX_BUSY_POLL_US,
  MAX_QUEUES,
  MAX_SOURCE_PORTS,
} from '@flannel-ts/flannel/backend-config';
import {
  DEFAULT_ETCD_ENDPOINTS,
  DEFAULT_ETCD_PREFIX,
  DEFAULT_HOST_LOCAL_DATA_DIR,
  DEFAULT_IDENTITY_FILE,
  DEFAULT_SUBNET_FILE,
} from '@flannel-ts/flannel/defaults';
import type { FlagTable, ValueHint } from './flags.ts';

const string = (fallback: string, help: string, hint?: ValueHint) =>
  ({ kind: 'string', fallback, help, ...(hint && { hint }) }) as const;
const integer = (fallback: number, help: string) => ({ kind: 'integer', fallback: String(fallback), help }) as const;
const boolean = (fallback: boolean, help: string) => ({ kind: 'boolean', fallback: String(fallback), help }) as const;
const list = (help: string, hint?: ValueHint) => ({ kind: 'list', fallback: '', help, ...(hint && { hint }) }) as const;

export const FLAGS = {
  'etcd-endpoints': string(
    DEFAULT_ETCD_ENDPOINTS,
    'comma-separated list of etcd endpoints; without a scheme http, or https with a certificate; without a port 2379',
  ),
  'etcd-prefix': string(DEFAULT_ETCD_PREFIX, 'etcd prefix'),
  'etcd-keyfile': string('', 'client key for etcd', 'file'),
  'etcd-certfile': string('', 'client certificate for etcd', 'file'),
  'etcd-cafile': string('', 'certificate authority of etcd; works without a client certificate, too', 'file'),
  'etcd-username': string('', 'user name for etcd'),
  'etcd-password': {
    ...string('', 'password for etcd; better given as FLANNELD_ETCD_PASSWORD'),
    secret: true,
  },
  iface: list('interface (name or address) for traffic between hosts; repeat it to try several in order', 'interface'),
  'iface-regex': list(
    "regular expression in Go's syntax for the address or name of the interface, tried after -iface; may be repeated",
  ),
  'iface-can-reach': string('', 'choose the interface by which this address, of IPv4 or IPv6, is reached'),
  'subnet-file': string(DEFAULT_SUBNET_FILE, 'file to write subnet, MTU and masquerading to', 'file'),
  'cni-conf-file': string(
    '',
    'configuration of the CNI plugin to write when the node can serve pods, if there is none: /etc/cni/net.d/10-flannel.conflist',
    'file',
  ),
  'identity-file': string(
    '',
    `file to keep the MAC addresses and the key in that other nodes know this one by; by default ${DEFAULT_IDENTITY_FILE}, and beside the subnet file where -subnet-file is given`,
    'file',
  ),
  'take-over': boolean(
    false,
    'take over from a flanneld that runs with the same subnet file, if there is one: packets go on, and when this one fails the other goes on; the other then waits for its end',
  ),
  'public-ip': string('', 'address that other nodes reach this one by'),
  'public-ipv6': string(
    '',
    'the same for IPv6: to publish beside it, or alone where nodes reach each other by IPv6 only',
  ),
  'subnet-lease-renew-margin': integer(60, 'minutes before the end of the lease at which it is renewed (1 to 1439)'),
  'ip-masq': boolean(false, 'masquerade traffic that leaves the overlay network'),
  'ip-masq-fully-random-disable': boolean(false, 'masquerade without fully random source ports'),
  'anti-spoofing': string(
    'auto',
    "take a packet from another node only if its source is in that node's subnet: on, off, or auto (on with -ip-masq, without which packets from outside the overlay have foreign sources)",
    ['auto', 'on', 'off'],
  ),
  'kube-subnet-mgr': boolean(
    false,
    'take the subnet from the podCIDRs of the Kubernetes node that NODE_NAME (or POD_NAME and POD_NAMESPACE) names, and publish the lease in its annotations; etcd is not used',
  ),
  'kube-api-url': string(
    '',
    'Kubernetes API server; wins over that of -kubeconfig-file. Without both: that of the pod flanneld runs in',
  ),
  'kubeconfig-file': string('', 'kubeconfig file; its files are read again when they change', 'file'),
  'kube-annotation-prefix': string(
    'flannel.alpha.coreos.com',
    'prefix of node annotations; networks of their own have prefixes of their own',
  ),
  'net-config-path': string(
    '/etc/kube-flannel/net-conf.json',
    'network config file; read with -kube-subnet-mgr only',
    'file',
  ),
  'set-node-network-unavailable': boolean(true, 'set the node condition NetworkUnavailable'),
  'healthz-ip': string('0.0.0.0', 'address for /healthz, /readyz, /status and /metrics'),
  'healthz-port': integer(0, 'port for /healthz, /readyz, /status and /metrics; 0 turns them off'),
  'health-endpoint': boolean(
    false,
    'ask other nodes from an address of the own subnet as well, as a pod would: proves that packets of pods are forwarded',
  ),
  'host-local-dir': string(
    DEFAULT_HOST_LOCAL_DATA_DIR,
    'where host-local keeps the addresses of pods; that of the health endpoint is reserved there',
    'directory',
  ),
  'metrics-per-peer': boolean(true, 'metrics of each other node, up to 200 of them'),
  'iptables-resync': integer(5, 'seconds between checks of the firewall rules'),
  'iptables-forward-rules': boolean(true, 'accept forwarded traffic of the overlay network'),
  'ip-blackhole-route': boolean(
    false,
    'drop packets for addresses of the own subnet that no pod has, by a blackhole route: for hosts with a route for each pod and no bridge (Canal)',
  ),
  engine: string(
    '',
    'what forwards packets of the udp backend: auto (fast), ebpf (programs in the kernel, and fast for what they leave), fast, or reference (one packet per system call). This and the next four win over Engine, Offload, BusyPollUs, Queues and SourcePorts of Backend in the network config',
    ENGINE_NAMES,
  ),
  'engine-offload': boolean(true, 'let the fast engine use offloads of the kernel; turn off where they misbehave'),
  'engine-busy-poll': integer(
    DEFAULT_BUSY_POLL_US,
    `microseconds (0 to ${MAX_BUSY_POLL_US}) that the fast engine looks for more packets before it sleeps, while that pays`,
  ),
  'engine-queues': integer(1, `queues of the device (1 to ${MAX_QUEUES}), each with a thread of the fast engine`),
  'engine-source-ports': integer(
    DEFAULT_SOURCE_PORTS,
    `UDP ports (1 to ${MAX_SOURCE_PORTS}) that the engine sends from, one for each flow of pods; 1: the port of the backend alone`,
  ),
  version: boolean(false, 'print the version and exit'),
  help: boolean(false, 'print this and exit'),
  h: boolean(false, 'print this and exit'),
  v: integer(0, 'verbosity: 1 logs more, 4 all'),
  vmodule: string('', 'accepted for compatibility'),
  log_backtrace_at: string('', 'accepted for compatibility'),
} as const satisfies FlagTable;

export type FlagName = keyof typeof FLAGS;
