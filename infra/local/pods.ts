/** Pods on a node: sandboxes, connected by the node's CNI plugin. */
import * as pulumi from '@pulumi/pulumi';
import type { Node } from './node.ts';
import { Sandbox } from './resources.ts';

export interface PodsArgs {
  readonly stack: string;
  readonly node: Node;
  /** `pod-0`: the pods of node 0 are pod-0-0, pod-0-1, ... */
  readonly prefix: string;
  readonly count: number;
}

export interface PodInfo {
  readonly name: string;
  readonly node: string;
  readonly address: pulumi.Output<string>;
  readonly netns: pulumi.Output<string>;
}

export class Pods extends pulumi.ComponentResource {
  readonly pods: readonly PodInfo[];

  constructor(name: string, { stack, node, prefix, count }: PodsArgs, options?: pulumi.ComponentResourceOptions) {
    super('flannel:local:Pods', name, {}, options);
    this.pods = Array.from({ length: count }, (_, i) => {
      const pod = `${prefix}-${i}`;
      const { address, netns } = new Sandbox(
        pod,
        {
          stack,
          pod,
          node: node.label,
          host: node.software.id,
          podSubnet: node.podSubnet,
          podMtu: node.software.podMtu,
        },
        { parent: this },
      );
      return { name: pod, node: node.label, address, netns };
    });
    this.registerOutputs();
  }
}
