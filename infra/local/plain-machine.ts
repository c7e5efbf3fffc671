/** A machine of a cluster whose flanneld comes as a pod. */
import { formatIp } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import * as pulumi from '@pulumi/pulumi';
import type { Machine } from './resources.ts';
import type { Vpc } from './vpc.ts';

/** A machine that Kubernetes runs on; a Node, which has flanneld already, is one, too. */
export interface ClusterMachine {
  readonly label: string;
  readonly address: string;
  readonly machine: Machine;
  /** The id of what makes it what it is: its units go with that. */
  readonly host: pulumi.Output<string>;
}

export interface PlainMachineArgs {
  readonly vpc: Vpc;
  readonly address: Ipv4;
}

export class PlainMachine extends pulumi.ComponentResource implements ClusterMachine {
  readonly label: string;
  readonly address: string;
  readonly machine: Machine;
  readonly host: pulumi.Output<string>;

  constructor(name: string, { vpc, address }: PlainMachineArgs, options?: pulumi.ComponentResourceOptions) {
    super('flannel:local:Node', name, {}, options);
    this.label = name;
    this.address = formatIp(address);
    this.machine = vpc.machine(name, address, this);
    this.host = this.machine.id;
    this.registerOutputs({ address: this.address });
  }
}
