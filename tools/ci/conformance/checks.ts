/** What is asked of a stack: which pods check which others, and how. Pure. */

/** In the order in which they run; see probe.mjs for what each sends. */
export const POD_CHECKS = ['ping', 'tcp', 'udp', 'fragments', 'stream', 'mtu', 'source'] as const;
/** From a pod to another node's own address, which is outside of the pods' network. */
export const NODE_CHECKS = ['masquerade'] as const;

export type CheckName = (typeof POD_CHECKS)[number] | (typeof NODE_CHECKS)[number];

export const DESCRIPTIONS: Readonly<Record<CheckName, string>> = {
  ping: 'ICMP echo is answered, three times out of three',
  tcp: 'a short TCP connection carries what was sent',
  udp: 'a datagram of 1,200 bytes arrives as it was',
  fragments: 'so does one of 20,000 bytes, in fragments',
  stream: 'some megabytes over TCP have the same SHA-256 on both sides',
  mtu: "a packet of the pod's whole MTU passes with Don't Fragment set",
  source: "the other pod sees the pod's own address: nothing between pods is masqueraded",
  masquerade: "another node sees the pod's node: what leaves the pods' network is masqueraded",
};

export interface Pod {
  readonly name: string;
  readonly node: string;
  readonly address: string;
}

export interface Node {
  readonly name: string;
  readonly address: string;
}

export interface Target {
  readonly name: string;
  readonly address: string;
  readonly checks: readonly CheckName[];
}

/** What one pod is told to do. Goes through a shell as JSON, so it holds nothing but plain values. */
export interface CheckPlan {
  readonly self: { readonly name: string; readonly address: string; readonly nodeAddress: string };
  readonly port: number;
  readonly streamBytes: number;
  /** How long routes may take until the first answer. */
  readonly patienceMs: number;
  readonly targets: readonly Target[];
}

export interface CheckResult {
  readonly from: string;
  readonly to: string;
  readonly check: CheckName;
  readonly milliseconds: number;
  /** Missing where all is well. */
  readonly problem?: string;
}

export interface CheckSettings {
  readonly port: number;
  readonly streamBytes: number;
  readonly patienceMs: number;
}

export const CHECK_SETTINGS: CheckSettings = { port: 7411, streamBytes: 4 << 20, patienceMs: 20_000 };

/** One pod stands for its node. */
export function onePerNode<P extends Pod>(pods: readonly P[]): P[] {
  return [...new Map([...pods].reverse().map((pod) => [pod.node, pod])).values()].reverse();
}

/**
 * Every ordered pair of pods on different nodes, and from every pod to every other node in `reachableNodes`: those at whose
 * own address somebody listens.
 */
export function planChecks(
  pods: readonly Pod[],
  nodes: readonly Node[],
  reachableNodes: readonly Node[],
  settings: CheckSettings,
): { readonly pod: Pod; readonly plan: CheckPlan }[] {
  return pods.map((pod) => {
    const others = pods.filter(({ node }) => node !== pod.node);
    const nodeAddress = nodes.find(({ name }) => name === pod.node)?.address ?? '';
    const targets: Target[] = [
      ...others.map(({ name, address }) => ({ name, address, checks: POD_CHECKS })),
      ...reachableNodes
        .filter(({ name }) => name !== pod.node)
        .map(({ name, address }) => ({ name, address, checks: NODE_CHECKS })),
    ];
    return { pod, plan: { self: { name: pod.name, address: pod.address, nodeAddress }, ...settings, targets } };
  });
}

/**
 * All that the plans ask for, in their order; what was not answered is a failure. A pod of which nothing came back must not
 * look like one that found nothing wrong.
 */
export function complete(
  plans: readonly { readonly plan: CheckPlan }[],
  results: readonly CheckResult[],
  reasons: ReadonlyMap<string, string> = new Map(),
): CheckResult[] {
  const key = (from: string, to: string, check: string) => JSON.stringify([from, to, check]);
  const known = new Map(results.map((result) => [key(result.from, result.to, result.check), result]));
  return plans.flatMap(({ plan: { self, targets } }) =>
    targets.flatMap(({ name: to, checks }) =>
      checks.map((check): CheckResult => {
        const problem = reasons.get(self.name) ?? 'the probe said nothing about it';
        return known.get(key(self.name, to, check)) ?? { from: self.name, to, check, milliseconds: 0, problem };
      }),
    ),
  );
}

export function failures(results: readonly CheckResult[]): CheckResult[] {
  return results.filter(({ problem }) => problem !== undefined);
}
