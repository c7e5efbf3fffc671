/** How each flag and variable of the environment relates to flannel's v0.28 (main.go, subnet/kube/kube.go, backend/wireguard). */
import type { FlagName } from './flag-table.ts';

export interface Parity {
  readonly is: 'same' | 'better' | 'refused' | 'without effect' | 'own';
  /** One sentence, where there is more to say than the flag's meaning. */
  readonly note?: string;
}

const SAME = { is: 'same' } as const;
const OWN = { is: 'own' } as const;
const better = (note: string) => ({ is: 'better', note }) as const;
const LOGS_OF_GO = {
  is: 'without effect',
  note: "accepted, so that unit files need no change; it names flannel's Go files",
} as const;

export const FLAG_PARITY = {
  'etcd-endpoints': better('a list without schemes or ports is completed'),
  'etcd-prefix': SAME,
  'etcd-keyfile': SAME,
  'etcd-certfile': better('refused without the key; flannel then goes on without TLS'),
  'etcd-cafile': better('works without a client certificate; flannel ignores it then'),
  'etcd-username': SAME,
  'etcd-password': better('never logged; flannel logs it with all flags at start'),
  iface: better('waits for an interface that comes late'),
  'iface-regex': better('bridges of containers and addresses of pods count last; a bad expression is refused at once'),
  'iface-can-reach': better('takes an address of either family'),
  'subnet-file': SAME,
  'cni-conf-file': OWN,
  'public-ip': SAME,
  'public-ipv6': better('a link-local address is refused'),
  'subnet-lease-renew-margin': SAME,
  'ip-masq': better('one transaction of nftables, where flannel runs about 20 commands every 5 s'),
  'ip-masq-fully-random-disable': SAME,
  'anti-spoofing': OWN,
  'kube-subnet-mgr': better('waits for a podCIDR, with the reason, and for the API server; flannel ends'),
  'kube-api-url': SAME,
  'kubeconfig-file': better('credentials from a program (`exec`) are refused at once'),
  'kube-annotation-prefix': SAME,
  'net-config-path': better('a changed file takes effect without a restart'),
  'set-node-network-unavailable': better(
    'true again, with the reason, while the node does not serve; flannel writes false once',
  ),
  'healthz-ip': SAME,
  'healthz-port': better('also has /status and /metrics, and /readyz says what is not well'),
  'health-endpoint': OWN,
  'take-over': OWN,
  'host-local-dir': OWN,
  'identity-file': OWN,
  'metrics-per-peer': OWN,
  'iptables-resync': better('nothing is run while nobody has changed the ruleset'),
  'iptables-forward-rules': better("put before what drops, and checked by what they do; flannel's are appended"),
  'ip-blackhole-route': better(
    'there from the start and put back when it is deleted; of the last metric, so that the route of a bridge of pods wins',
  ),
  engine: OWN,
  'engine-offload': OWN,
  'engine-busy-poll': OWN,
  'engine-queues': OWN,
  'engine-source-ports': OWN,
  version: SAME,
  help: better('an unknown flag ends with exit code 2; with flannel it prints the usage and exits with 0'),
  h: SAME,
  v: SAME,
  vmodule: LOGS_OF_GO,
  log_backtrace_at: LOGS_OF_GO,
} as const satisfies Record<FlagName, Parity>;

/** Variables that flannel reads beside those of its flags. */
export const ENVIRONMENT_PARITY: Readonly<Record<string, Parity>> = {
  NOTIFY_SOCKET: SAME,
  WIREGUARD_KEY_FILE: { is: 'without effect', note: 'the key is part of `-identity-file`, which outlives a reboot' },
  NODE_NAME: SAME,
  POD_NAME: SAME,
  POD_NAMESPACE: SAME,
  EVENT_QUEUE_DEPTH: {
    is: 'without effect',
    note: 'there is no queue here that events could overflow',
  },
  CONT_WHEN_CACHE_NOT_READY: {
    is: 'without effect',
    note: 'a list of nodes that takes long is waited for, while packets flow by what is known',
  },
  ACCESS_KEY_ID: { is: 'without effect', note: 'for the tencent-vpc backend, which is refused' },
  ACCESS_KEY_SECRET: { is: 'without effect', note: 'for the tencent-vpc backend, which is refused' },
};

export function describeParity({ is, note }: Parity): string {
  if (is === 'own') return 'not in flannel';
  return note === undefined ? is : `${is}: ${note}`;
}
