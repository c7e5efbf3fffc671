/** Where conformance tests run: what each environment must be able to do for them. */
import type { CheckPlan, Node, Pod } from './checks.ts';

export interface Substrate {
  /** Starts the probe's servers in pods, at least one on each node, and on the nodes where `Site.nodes` says so. */
  open(port: number, signal: AbortSignal): Promise<Site>;
  /** Runs a plan from a pod and gives what the probe prints. */
  check(from: Pod, plan: CheckPlan, signal: AbortSignal): Promise<string>;
  /** Ends all that was started, also after a failure of the others. */
  close(): Promise<void>;
}

export interface Site {
  readonly pods: readonly Pod[];
  readonly nodes: readonly Node[];
  /** The nodes that also listen at their own address. */
  readonly reachableNodes: readonly Node[];
}
