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

const ON_THE_NODE = ['ip', 'nft', 'ping', 'sysctl', 'iptables', 'ip6tables', 'bridge', 'ss'];

/** The daemon names a command for the node that it runs on. */
export function remedyFromHere(stack: string, node: string, remedy: string): string {
  if (remedy.startsWith('start etcd')) return `npm run up${flag(stack)}`;
  // What is to be done otherwise may come first.
  const [, before = '', command = '', program = ''] = /^(.*: )?(([a-z0-9-]+) .*)$/.exec(remedy) ?? [];
  if (program === 'journalctl') return `${before}npm run logs -- ${named(stack)}${node}`;
  // With the member's own certificate.
  const withoutOptions = command.replace(/ --(endpoints|cacert|cert|key) \S+/g, '');
  if (program === 'etcdctl') return `${before}npm run shell -- ${named(stack)}etcd-0 ${withoutOptions}`;
  if (!ON_THE_NODE.includes(program)) return remedy;
  const inside = command.includes(';') ? `sh -c '${command}'` : command;
  return `${before}npm run shell -- ${named(stack)}${node} ${inside}`;
}

function named(stack: string): string {
  return stack === 'local' ? '' : `--stack ${stack} `;
}
