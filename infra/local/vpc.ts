/** The network that all machines of a stack are connected to, and the machines. */
import { type BackendConfig, formatBackendConfig } from '@flannel-ts/flannel/backend-config';
import { formatIp } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { formatPrefix, type Prefix } from '@flannel-ts/inet/prefix';
import * as pulumi from '@pulumi/pulumi';
import { Machine, VpcNetwork } from './resources.ts';

export interface VpcArgs {
  readonly stack: string;
  readonly cidr: Prefix<4>;
  readonly gateway: Ipv4;
  readonly mtu: number;
  readonly backend: BackendConfig;
}

export class Vpc extends pulumi.ComponentResource {
  private readonly network: VpcNetwork;

  constructor(
    name: string,
    private readonly args: VpcArgs,
    options?: pulumi.ComponentResourceOptions,
  ) {
    super('flannel:local:Vpc', name, {}, options);
    const { stack, cidr, gateway, mtu, backend } = args;
    this.network = new VpcNetwork(
      name,
      { stack, cidr: formatPrefix(cidr), gateway: formatIp(gateway), mtu, backend: formatBackendConfig(backend) },
      { parent: this },
    );
    this.registerOutputs();
  }

  /** A machine at `address`; `parent` is the component it works for. */
  machine(name: string, address: Ipv4, parent: pulumi.Resource): Machine {
    const { stack, cidr, gateway, mtu } = this.args;
    return new Machine(
      name,
      {
        stack,
        machine: name,
        vpc: this.network.id,
        address: formatIp(address),
        prefixLength: cidr.length,
        gateway: formatIp(gateway),
        mtu,
      },
      { parent },
    );
  }
}
