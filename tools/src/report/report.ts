/** What `up` and `status` show of a stack. */
import { flag } from '../pulumi/names.ts';
import { nodeHealth } from './health.ts';
import type { Outputs, PodOutput } from './outputs.ts';
import { formatReachability, measure, type Pair, unreachablePairs } from './reachability.ts';
import { formatTable } from './table.ts';

/** Prints nodes, pods and which pods reach each other. False if some do not. */
export async function report(stack: string, outputs: Outputs, patienceMs: number): Promise<boolean> {
  print('');
  print(formatNodes(outputs, (node) => nodeHealth(stack, node)));
  if (outputs.pods.length < 2) return true;
  const reachability = await measure(outputs.pods, { patienceMs });
  print(`\nRound-trip times between pods, in ms (from the left to the top):\n${formatReachability(reachability)}\n`);
  const missing = unreachablePairs(reachability);
  if (missing.length === 0) return true;
  print(`${formatMissing(missing, reachability.pods, stack)}\n`);
  return false;
}

/** More pairs are a list that nobody reads. */
const PAIRS_SHOWN = 8;

/** The pairs, as many as one reads; the node that all of them have in common; and what to do next. */
export function formatMissing(missing: readonly Pair[], pods: readonly PodOutput[], stack: string): string {
  const shown = missing.slice(0, PAIRS_SHOWN).map(({ from, to }) => `${from.name} -> ${to.name}`);
  const more = missing.length > shown.length ? ` and ${missing.length - shown.length} more` : '';
  const nodes = [...new Set(pods.map(({ node }) => node))];
  const common = nodes.filter((node) => missing.every(({ from, to }) => from.node === node || to.node === node));
  const [suspect = missing[0]!.from.node] = common;
  const named = stack === 'local' ? '' : `--stack ${stack} `;
  const hint =
    common.length === 1 && nodes.length > 2
      ? `All of them involve ${suspect}: "npm run logs -- ${named}${suspect}" shows why`
      : `"npm run logs -- ${named}${suspect}" shows what flanneld says there`;
  return `No answer: ${shown.join(', ')}${more}. ${hint}, "npm run up${flag(stack)}" repairs what is broken`;
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
