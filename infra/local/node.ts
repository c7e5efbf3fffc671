/** A node: a machine with flanneld on it. */
import { formatIp } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import * as pulumi from '@pulumi/pulumi';
import { nodeBoot, nodeSecrets } from '../node/files.ts';
import type { NodeInputs } from './host/node.ts';
import { MACHINE_INTERFACE, machineRoot } from './names.ts';
import type { Pki } from './pki.ts';
import type { ClusterMachine } from './plain-machine.ts';
import { type Machine, NodeSoftware, StagedArtifact, type StoredArtifact } from './resources.ts';
import type { Vpc } from './vpc.ts';

export interface NodeArgs {
  readonly stack: string;
  readonly vpc: Vpc;
  readonly pki: Pki;
  readonly address: Ipv4;
  readonly etcdEndpoints: readonly string[];
  readonly artifact: StoredArtifact;
  /** What flanneld reads from etcd at its start alone: a change restarts it. */
  readonly revision: pulumi.Input<string>;
  /** What a running flanneld follows; an `up` ends when it has. */
  readonly serves: NodeInputs['serves'];
  /** Created first: the network config in etcd, and the previous node. */
  readonly after: readonly pulumi.Resource[];
}

export class Node extends pulumi.ComponentResource implements ClusterMachine {
  readonly label: string;
  readonly address: string;
  readonly machine: Machine;
  readonly software: NodeSoftware;
  readonly host: pulumi.Output<string>;
  readonly podSubnet: pulumi.Output<string>;

  constructor(name: string, args: NodeArgs, options?: pulumi.ComponentResourceOptions) {
    super('flannel:local:Node', name, {}, options);
    const { stack, vpc, pki, artifact } = args;
    const root = machineRoot(stack, name);
    const { files, unit } = nodeBoot({ root, etcdEndpoints: args.etcdEndpoints, interface: MACHINE_INTERFACE });
    this.label = name;
    this.address = formatIp(args.address);
    this.machine = vpc.machine(name, args.address, this);
    const { id: host } = this.machine;
    const staged = new StagedArtifact(
      `${name}-artifact`,
      { stack, machine: name, host, url: artifact.url, sha256: artifact.sha256 },
      { parent: this },
    );
    this.software = new NodeSoftware(
      `${name}-software`,
      {
        stack,
        machine: name,
        host,
        sha256: staged.sha256,
        files: [...files],
        secretFiles: pulumi.all([pki.ca, pki.client(name)]).apply(([ca, client]) => nodeSecrets(root, ca, client)),
        unit,
        revision: args.revision,
        serves: args.serves,
      },
      { parent: this, dependsOn: [...args.after] },
    );
    this.host = this.software.id;
    this.podSubnet = this.software.podSubnet;
    this.registerOutputs({ address: this.address, podSubnet: this.podSubnet });
  }
}
