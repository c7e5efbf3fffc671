/** What is not well on the nodes of a stack, with commands that work from here. Pure. */
import { wrap } from '@flannel-ts/daemon/operate/show/layout';
import { formatDetails, formatTroubles } from '@flannel-ts/daemon/operate/show/status-text';
import { flag } from '../pulumi/names.ts';
import type { NodeState, NodeStates } from './daemons.ts';

export function isWell({ status }: NodeState): boolean {
  return status?.ready ?? false;
}

/** A section for each node that has something to say; empty if none has. */
export function formatNodeTroubles(stack: string, states: NodeStates, width: number): string {
  return [...states].flatMap(([node, state]) => sectionsOf(stack, node, state, width)).join('\n\n');
}

function sectionsOf(stack: string, node: string, { status, problem }: NodeState, width: number): string[] {
  if (status === undefined) {
    const remedy = `"npm run logs -- ${named(stack)}${node}" shows its log, "npm run up${flag(stack)}" repairs what is broken`;
    return [`NOT WELL: ${node}\n${wrap(`${problem}. ${remedy}`, width, '  ')}`];
  }
  const troubles = status.troubles.map((trouble) => ({
    ...trouble,
    remedy: remedyFromHere(stack, node, trouble.remedy),
  }));
  return [formatTroubles({ troubles }, width), formatDetails(status, width)]
    .filter((section) => section !== '')
    .map((section) => section.replace(/^[A-Z ]+$/m, (heading) => `${heading}: ${node}`));
}

/** The daemon names a command for the node that it runs on. */
export function remedyFromHere(stack: string, node: string, remedy: string): string {
  const [program = ''] = remedy.split(' ');
  if (program === 'journalctl') return `npm run logs -- ${named(stack)}${node}`;
  // With the member's own certificate.
  if (program === 'etcdctl') return `npm run shell -- ${named(stack)}etcd-0 ${remedy.replace(/ --endpoints \S+/, '')}`;
  if (!['ip', 'nft', 'ping', 'sysctl'].includes(program)) return remedy;
  const command = remedy.includes(';') ? `sh -c '${remedy}'` : remedy;
  return `npm run shell -- ${named(stack)}${node} ${command}`;
}

function named(stack: string): string {
  return stack === 'local' ? '' : `--stack ${stack} `;
}
