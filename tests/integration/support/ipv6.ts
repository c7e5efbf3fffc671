/** IPv6 addresses of pods on the nodes of a cluster, and traffic between them. */
import { readFileSync } from 'node:fs';
import { type Node, until } from './cluster.ts';

/** The node's IPv6 subnet as in subnet.env: its first address and the length. */
export function ipv6Subnet(node: Node): string {
  return /FLANNEL_IPV6_SUBNET=(.*)/.exec(readFileSync(node.subnetFile, 'utf8'))![1]!;
}

/** The first address of each subnet on the bridge of pods. */
export function addPod(node: Node): void {
  node.ip('link', 'add', 'cni0', 'type', 'bridge');
  node.ip('link', 'set', 'cni0', 'up');
  for (const subnet of [node.subnet, ipv6Subnet(node)]) {
    if (subnet !== '') node.ip('address', 'add', subnet, 'dev', 'cni0', ...(subnet.includes(':') ? ['nodad'] : []));
  }
}

export const podAddress6 = (node: Node): string => ipv6Subnet(node).split('/')[0]!;

/** What ping says, also when there is no answer. */
export function ping6(from: Node, to: string, ...flags: string[]): string {
  const command = ['ping', '-6', '-n', '-c', '1', '-W', '2', '-I', podAddress6(from), ...flags, to];
  return from.run('sh', '-c', '"$@" 2>&1 || true', 'sh', ...command);
}

export const canPing6 = (from: Node, to: Node): boolean => ping6(from, podAddress6(to)).includes('1 received');

export const untilPing6 = (a: Node, b: Node): Promise<void> => until(() => canPing6(a, b) && canPing6(b, a));
