/** For each part that may have trouble, the one command or setting to begin with. The sentence of the trouble says the rest. Pure. */

export interface RemedyContext {
  /** To the other nodes, once it is chosen. */
  readonly interface?: string | undefined;
  /** Of the source of leases, "etcd" or "kubernetes"; etcd where it is not known. */
  readonly source?: string | undefined;
  /** Of the source, that was tried last. */
  readonly member?: string | undefined;
  /** Any other node's address outside of the overlay. */
  readonly peer?: string | undefined;
}

type Remedy = (context: RemedyContext) => string;

const sourceHealth: Remedy = ({ source, member }) => {
  if (source === 'kubernetes') return 'kubectl get --raw /readyz; kubectl describe node NODE';
  return member === undefined ? 'etcdctl endpoint health' : `etcdctl --endpoints ${member} endpoint health`;
};

const REMEDIES: Readonly<Record<string, Remedy>> = {
  lease: sourceHealth,
  peers: sourceHealth,
  source: sourceHealth,
  underlay: ({ interface: name }) =>
    name === undefined ? 'choose the interface with -iface' : `ip link set ${name} up; ip address show ${name}`,
  kernel: () => 'ip -d link; ip route show table all',
  engine: () => 'journalctl -u flanneld',
  'subnet file': () => 'df; make its directory writable, or choose another with -subnet-file',
  firewall: () => 'nft list ruleset',
  'forward rules': () => 'nft list ruleset',
  'input rules': () => 'nft list ruleset',
  forwarding: () => 'sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding',
  bridge: () => 'ip link set cni0 up; bridge link',
  reach: ({ peer }) => (peer === undefined ? 'nft list ruleset' : `ping -c 3 ${peer}`),
  'pod path': () => 'nft list ruleset; bridge link',
};

export function remedyOf(part: string, context: RemedyContext): string {
  return (REMEDIES[part] ?? REMEDIES.engine!)(context);
}

/** Parts with a remedy of their own. */
export const REMEDIED_PARTS: readonly string[] = Object.keys(REMEDIES);
