/** What `up` and `status` show of a stack. */

import { nodeHealth } from './health.ts';
import type { Outputs } from './outputs.ts';
import { formatReachability, measure, unreachablePairs } from './reachability.ts';
import { formatTable } from './table.ts';

/** Prints nodes, pods and who reaches whom. False if somebody does not. */
export async function report(stack: string, outputs: Outputs, patienceMs: number): Promise<boolean> {
  print('');
  print(formatNodes(outputs, (node) => nodeHealth(stack, node)));
  if (outputs.pods.length < 2) return true;
  const reachability = await measure(outputs.pods, { patienceMs });
  print(`\nRound-trip times between pods, in ms (from the left to the top):\n${formatReachability(reachability)}\n`);
  const missing = unreachablePairs(reachability);
  if (missing.length > 0) print(`No answer: ${missing.join(', ')}\n`);
  return missing.length === 0;
}

export function formatNodes(outputs: Outputs, health: (node: string) => string): string {
  const { network, nodes, pods, etcdEndpoints, artifact } = outputs;
  const rows = nodes.map(({ name, address, podSubnet = '' }) => {
    const own = pods.filter(({ node }) => node === name).map((pod) => `${pod.name} ${pod.address}`);
    return [name, address, podSubnet, health(name), own.join(', ')];
  });
  return [
    `VPC ${network.vpcCidr}, pods ${network.podCidr}, backend ${network.backend.Type ?? 'udp'}, etcd ${etcdEndpoints.join(' ')}, flannel-ts ${artifact.version} (${artifact.sha256.slice(0, 12)})`,
    '',
    formatTable([['NODE', 'ADDRESS', 'PODS FROM', 'FLANNELD', 'PODS'], ...rows]),
  ].join('\n');
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
