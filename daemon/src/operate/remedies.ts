/**
 * The one command or setting that mends a trouble. A sentence that knows the command has it in double quotes, the first one being the
 * one that mends; what is here is for the others, by the part that has the trouble. Pure.
 */

export interface RemedyContext {
  /** To the other nodes, once it is chosen. */
  readonly interface?: string | undefined;
  /** Of the source of leases, "etcd" or "kubernetes"; etcd where it is not known. */
  readonly source?: string | undefined;
  /** Of the source, that was tried last. */
  readonly member?: string | undefined;
  /** The program that asks the source, with its options. */
  readonly commandLine?: string | undefined;
  /** Any other node's address outside of the overlay. */
  readonly peer?: string | undefined;
  /** What has to get through between the nodes, in words; empty: packets as pods send them. */
  readonly carriers?: string | undefined;
}

type Remedy = (context: RemedyContext) => string;

const sourceAnswers: Remedy = ({ source, member, commandLine = 'etcdctl' }) => {
  if (source === 'kubernetes') return 'let this node reach the API server: kubectl get --raw /readyz';
  const where = member === undefined ? '' : ` at ${member}`;
  return `start etcd${where}, or let this node reach it: ${commandLine} endpoint health`;
};

const otherNodes: Remedy = ({ peer = 'PEER', carriers }) => {
  if (carriers === '')
    return `let packets with addresses of pods pass between the nodes, or use vxlan: ping -c 3 ${peer}`;
  return `open ${carriers ?? 'the port of the backend'} between the nodes, if they reach each other: ping -c 3 ${peer}`;
};

const REMEDIES: Readonly<Record<string, Remedy>> = {
  lease: sourceAnswers,
  peers: sourceAnswers,
  source: sourceAnswers,
  underlay: ({ interface: name }) =>
    name === undefined ? 'choose the interface with -iface' : `ip link set ${name} up`,
  kernel: () => 'journalctl -u flanneld',
  engine: () => 'restart flanneld with -engine=reference',
  'subnet file': () => 'make room and its directory writable, or choose another with -subnet-file',
  firewall: () => 'install the package nftables and load nf_tables and nft_masq, or set -ip-masq=false',
  'forward rules': () => 'nft list ruleset',
  'input rules': () => 'nft list ruleset',
  forwarding: () => 'sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1',
  bridge: () => 'ip link set cni0 up',
  'other routes': () => 'ip rule show',
  reach: otherNodes,
  'pod path': () => 'nft list ruleset',
};

/** `trouble` is the sentence. */
export function remedyOf(part: string, trouble: string, context: RemedyContext): string {
  return commandIn(trouble) ?? (REMEDIES[part] ?? REMEDIES.kernel!)(context);
}

/** A program and at least one word for it. */
const COMMAND = /"([a-z][a-z0-9-]* [^"]+)"/;

function commandIn(trouble: string): string | undefined {
  return COMMAND.exec(trouble)?.[1];
}

/** Parts with a remedy of their own. */
export const REMEDIED_PARTS: readonly string[] = Object.keys(REMEDIES);
