/** The etcd cluster: members with fixed addresses and data volumes that outlive their instances. */
import { createHash } from 'node:crypto';
import { formatNetworkConfig } from '@flannel-ts/flannel/network-config';
import * as pulumi from '@pulumi/pulumi';
import { ETCD_PEER_NAME, etcdClientUrl } from '../node/files.ts';
import type { Issued } from '../pki.ts';
import type { EtcdParameter } from './boot/userdata.ts';
import { type EtcdArgs, type EtcdOutputs, type MachinePlace, parameterPath } from './contract.ts';
import { EtcdMember } from './etcd-member.ts';
import { CertificateAuthority, StackParameters } from './pki.ts';
import { runOn } from './run-on.ts';

/** Users of etcd. A client is the user that its certificate names (etcd, "Using TLS Common Name"). */
const ADMINISTRATOR = 'root';
const NODES_USER = 'flanneld';

const SETTLE = 'systemctl start flannel-settle.service';

export class FlannelEtcd extends pulumi.ComponentResource implements EtcdOutputs {
  readonly endpoints: readonly string[];
  readonly nodeParameters: EtcdOutputs['nodeParameters'];
  readonly ready: readonly pulumi.Resource[];
  readonly client: EtcdOutputs['client'];

  private readonly clients: CertificateAuthority;
  private readonly peers: CertificateAuthority;
  private readonly parameters: StackParameters;

  constructor(
    private readonly label: string,
    private readonly args: EtcdArgs,
    options?: pulumi.ComponentResourceOptions,
  ) {
    super('flannel:aws:Etcd', label, {}, options);
    const { stack, keyArn, members } = args;
    this.endpoints = members.map(({ address }) => etcdClientUrl(address));
    this.clients = this.authority('clients');
    this.peers = this.authority('peers');
    this.parameters = new StackParameters(this, { path: parameterPath(stack, 'etcd'), keyArn });

    const admin = this.clients.issue('admin', { commonName: ADMINISTRATOR, usages: ['client'] });
    const nodes = new StackParameters(this, { path: parameterPath(stack, 'node'), keyArn });
    this.nodeParameters = this.nodeAccess(nodes);
    const last = this.makeMembers(admin);
    this.ready = [...nodes.made, last];
    this.client = clientSecret(this.clients.certificate, admin);
    this.registerOutputs({ endpoints: this.endpoints });
  }

  private authority(who: 'clients' | 'peers'): CertificateAuthority {
    const commonName = `flannel ${this.args.stack} etcd ${who}`;
    return new CertificateAuthority(`${this.label}-${who}`, { commonName }, { parent: this });
  }

  private nodeAccess(parameters: StackParameters): EtcdOutputs['nodeParameters'] {
    const { certificate, key } = this.clients.issue('flanneld', { commonName: NODES_USER, usages: ['client'] });
    return {
      ca: parameters.plain('ca', this.clients.certificate),
      certificate: parameters.plain('certificate', certificate),
      key: parameters.secret('key', key),
    };
  }

  /**
   * One after the other, each when the one before is healthy: a cluster bears the restart of one member at a time. Gives
   * what ends when users and the network configuration are in place.
   */
  private makeMembers(admin: Issued): pulumi.Resource {
    const shared = {
      clientCa: this.parameters.plain('client-ca', this.clients.certificate),
      peerCa: this.parameters.plain('peer-ca', this.peers.certificate),
      admin: this.parameters.plain('admin', admin.certificate),
      adminKey: this.parameters.secret('admin-key', admin.key),
    };
    const network = formatNetworkConfig(this.args.network);
    const networkParameter = this.parameters.plain('network', network);
    const members: EtcdMember[] = [];
    for (const place of this.args.members) {
      const parameters = { ...shared, ...this.memberParameters(place) };
      const previous = members.at(-1);
      members.push(
        new EtcdMember(
          `${this.label}-${place.name}`,
          {
            ...this.args,
            place,
            parameters,
            networkParameter,
            after: [...this.parameters.made, ...(previous ? [previous.healthy] : [])],
          },
          { parent: this },
        ),
      );
    }
    // Another configuration runs it again, and no machine is touched.
    return runOn(
      `${this.label}-settled`,
      { region: this.args.region, instance: members[0]!.instanceId },
      [`# network configuration ${sha256(network)}`, SETTLE],
      {
        parent: this,
        dependsOn: [
          ...this.parameters.made,
          ...members.map(({ healthy }) => healthy),
          ...(this.args.beforeNetwork ?? []),
        ],
      },
    );
  }

  private memberParameters({ name, address }: MachinePlace): Record<Exclude<EtcdParameter, SharedParameter>, string> {
    const names = { dnsNames: [name, `${name}.${pulumi.getStack()}.internal`], ipAddresses: [address] };
    const server = this.clients.issue(name, { commonName: name, usages: ['server'], ...names });
    const peer = this.peers.issue(name, { commonName: ETCD_PEER_NAME, usages: ['server', 'client'], ...names });
    return {
      server: this.parameters.plain(`${name}/server`, server.certificate),
      serverKey: this.parameters.secret(`${name}/server-key`, server.key),
      peer: this.parameters.plain(`${name}/peer`, peer.certificate),
      peerKey: this.parameters.secret(`${name}/peer-key`, peer.key),
    };
  }
}

type SharedParameter = 'clientCa' | 'peerCa' | 'admin' | 'adminKey';

function clientSecret(ca: pulumi.Output<string>, { certificate, key }: Issued): EtcdOutputs['client'] {
  return pulumi.secret(pulumi.all([ca, certificate, key]).apply(([ca, cert, key]) => ({ ca, cert, key })));
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
