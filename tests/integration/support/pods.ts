/** Pods: namespaces behind the bridge of a node, so that their packets are forwarded, as those of containers are. */
import { execFileSync, spawnSync } from 'node:child_process';
import type { Node } from './cluster.ts';

export interface Pod {
  readonly netns: string;
  readonly address: string;
  /** Throws what the program writes when it fails. */
  run(program: string, ...args: string[]): string;
  canPing(address: string): boolean;
  destroy(): void;
}

const sh = (program: string, ...args: string[]) => execFileSync(program, args, { encoding: 'utf8' });

/** The second usable address of the node's subnet, behind a new bridge cni0 that has the first. */
export function addPod(node: Node): Pod {
  const gateway = node.addPodAddress();
  const netns = `${node.netns}-pod`;
  const address = gateway.replace(/\.1$/, '.2');
  sh('ip', 'netns', 'add', netns);
  node.ip('link', 'add', 'pod0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns);
  node.ip('link', 'set', 'pod0', 'master', 'cni0', 'up');
  sh('ip', '-n', netns, 'link', 'set', 'lo', 'up');
  sh('ip', '-n', netns, 'address', 'add', `${address}/24`, 'dev', 'eth0');
  sh('ip', '-n', netns, 'link', 'set', 'eth0', 'up');
  sh('ip', '-n', netns, 'route', 'add', 'default', 'via', gateway);
  return {
    netns,
    address,
    run: (program, ...args) => sh('nsenter', `--net=/run/netns/${netns}`, program, ...args),
    canPing: (target) =>
      spawnSync('nsenter', [`--net=/run/netns/${netns}`, 'ping', '-c1', '-W1', '-q', target]).status === 0,
    destroy: () => void sh('ip', 'netns', 'delete', netns),
  };
}
