/** The etcd cluster, with a certificate for everyone, and flannel's network configuration in it. */
import { DEFAULT_ETCD_PREFIX } from '@flannel-ts/flannel/defaults';
import { formatNetworkConfig, type NetworkConfig } from '@flannel-ts/flannel/network-config';
import { formatIp } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import * as pulumi from '@pulumi/pulumi';
import { etcdBoot, etcdClientUrl, etcdPeerUrl, etcdSecrets, type KeyPair } from '../node/files.ts';
import { machineRoot } from './names.ts';
import type { Pki } from './pki.ts';
import { EtcdKey, EtcdMember, type Machine } from './resources.ts';
import type { Vpc } from './vpc.ts';

export interface EtcdArgs {
  readonly stack: string;
  readonly vpc: Vpc;
  readonly pki: Pki;
  /** One member at each. */
  readonly addresses: readonly Ipv4[];
  readonly network: NetworkConfig;
}

export class Etcd extends pulumi.ComponentResource {
  readonly endpoints: readonly string[];
  /** Who depends on this finds the network configuration in etcd. */
  readonly ready: EtcdKey;
  readonly admin: pulumi.Output<KeyPair>;

  constructor(
    name: string,
    private readonly args: EtcdArgs,
    options?: pulumi.ComponentResourceOptions,
  ) {
    super('flannel:local:Etcd', name, {}, options);
    const members = args.addresses.map((address, i) => ({
      name: `etcd-${i}`,
      address: formatIp(address),
      ip: address,
    }));
    this.endpoints = members.map(({ address }) => etcdClientUrl(address));
    this.admin = args.pki.client('admin');
    const plan = members.map(({ name: member, address }) => ({
      name: member,
      clientUrl: etcdClientUrl(address),
      peerUrl: etcdPeerUrl(address),
    }));
    const machines: Machine[] = [];
    let previous: EtcdMember | undefined;
    for (const { name: member, address, ip } of members) {
      const machine = args.vpc.machine(member, ip, this);
      machines.push(machine);
      previous = this.member(member, address, machine, plan, previous);
    }
    this.ready = this.networkConfig(machines[0]!, previous!);
    this.registerOutputs();
  }

  /** One after the other: a cluster bears the restart of one member at a time. */
  private member(
    name: string,
    address: string,
    machine: Machine,
    plan: { name: string; clientUrl: string; peerUrl: string }[],
    previous: EtcdMember | undefined,
  ): EtcdMember {
    const { stack, pki } = this.args;
    const root = machineRoot(stack, name);
    const { files, unit } = etcdBoot({ root, name, address });
    const secretFiles = pulumi
      .all([pki.ca, pki.server(name, address), pki.peer(name, address), this.admin])
      .apply(([ca, server, peer, admin]) => etcdSecrets(root, ca, { server, peer, admin }));
    return new EtcdMember(
      `${name}-member`,
      { stack, machine: name, host: machine.id, files: [...files], secretFiles, unit, members: plan },
      { parent: this, ...(previous && { dependsOn: [previous] }) },
    );
  }

  private networkConfig(machine: Machine, member: EtcdMember): EtcdKey {
    const { stack, network } = this.args;
    return new EtcdKey(
      'network-config',
      {
        stack,
        machine: 'etcd-0',
        host: machine.id,
        endpoints: [...this.endpoints],
        prefix: DEFAULT_ETCD_PREFIX,
        key: `${DEFAULT_ETCD_PREFIX}/config`,
        value: formatNetworkConfig(network),
      },
      { parent: this, dependsOn: [member] },
    );
  }
}
