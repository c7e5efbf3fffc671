/** The security groups, and the rules in them: planned as values, so that what is open can be read and tested in one place. */
import { type Carrier, IPIP_PROTOCOL } from '@flannel-ts/flannel/backend-needs';
import { ETCD_CLIENT_PORT, ETCD_PEER_PORT } from '@flannel-ts/flannel/defaults';
import type { BackendConfig } from '@flannel-ts/flannel/network-config';
import { SecurityGroup } from '@pulumi/aws/ec2/securityGroup';
import { SecurityGroupEgressRule } from '@pulumi/aws/vpc/securityGroupEgressRule';
import { SecurityGroupIngressRule } from '@pulumi/aws/vpc/securityGroupIngressRule';
import * as pulumi from '@pulumi/pulumi';
import { underlayNeeds } from '../node/underlay.ts';
import { named } from './tags.ts';

/** Nodes, etcd's members, and the interface endpoints of AWS's services. */
export const GROUPS = ['node', 'etcd', 'endpoint'] as const;
export type Group = (typeof GROUPS)[number];

export type Peer =
  | { readonly group: Group }
  | { readonly range: string }
  /** S3's addresses, as the gateway endpoint knows them. */
  | { readonly service: 's3' };

export interface Traffic {
  /** As AWS names it, or its number; -1 for any. */
  readonly protocol: 'tcp' | 'udp' | 'icmp' | `${number}`;
  /** First and last port; of ICMP, type and code. Absent where there are no ports. */
  readonly ports?: readonly [number, number];
}

export interface Rule extends Traffic {
  /** Part of the resource's name: another traffic is another rule, so that the old one stays until the new one is there. */
  readonly id: string;
  readonly group: Group;
  readonly direction: 'in' | 'out';
  readonly peer: Peer;
  /** Becomes the rule's description, for which AWS takes letters, digits, blanks and ._-:/()#,@[]+=&;{}!$* only. */
  readonly reason: string;
}

export interface RulePlan {
  readonly backend: BackendConfig;
  readonly vpcCidr: string;
  readonly podCidr: string;
  /** Whether there is a way to the internet. */
  readonly internet: boolean;
  /** Whether AWS's services have endpoints in the VPC. */
  readonly endpoints: boolean;
}

const HTTPS: Traffic = { protocol: 'tcp', ports: [443, 443] };
const ETCD_CLIENT: Traffic = { protocol: 'tcp', ports: [ETCD_CLIENT_PORT, ETCD_CLIENT_PORT] };
const ETCD_PEER: Traffic = { protocol: 'tcp', ports: [ETCD_PEER_PORT, ETCD_PEER_PORT] };
/** RFC 1191: a router says that a packet is too large for the next link. */
const TOO_LARGE: Traffic = { protocol: 'icmp', ports: [3, 4] };
const ANYWHERE: Peer = { range: '0.0.0.0/0' };

/**
 * All rules. Nothing from outside the VPC is let in. The VPC's resolver, time and instance metadata are behind no group
 * (VPC user guide, "Control traffic with security groups").
 */
export function planRules(plan: RulePlan): Rule[] {
  return [
    ...overlayRules(plan),
    ...between('etcd-client', 'node', 'etcd', ETCD_CLIENT, 'flanneld reads and writes leases in etcd'),
    ...between('etcd-admin', 'etcd', 'etcd', ETCD_CLIENT, 'etcd members set up users and join through each other'),
    ...between('etcd-peer', 'etcd', 'etcd', ETCD_PEER, 'etcd members replicate'),
    ...(['node', 'etcd'] as const).flatMap((group) => machineRules(group, plan)),
  ];
}

/** What nodes exchange of the pods' packets. */
function overlayRules({ backend, podCidr }: RulePlan): Rule[] {
  const { carriers, barePackets } = underlayNeeds(backend);
  return [
    ...carriers.flatMap((carrier) => encapsulated(backend.type, carrier)),
    ...(barePackets ? bare(podCidr, `${backend.type} backend`) : []),
  ];
}

function encapsulated(type: BackendConfig['type'], carrier: Carrier): Rule[] {
  if (carrier.protocol === 'udp') {
    const { port } = carrier;
    const traffic: Traffic = { protocol: 'udp', ports: [port, port] };
    return between(`overlay-${type}-${port}`, 'node', 'node', traffic, `packets of pods in UDP, ${type} backend`);
  }
  const traffic: Traffic = { protocol: `${IPIP_PROTOCOL}` };
  return between(`overlay-${type}`, 'node', 'node', traffic, `packets of pods in IPv4, ${type} backend`);
}

/** A group stands for the addresses of its interfaces; packets that pods have sent have other ones. */
function bare(podCidr: string, backend: string): Rule[] {
  const any: Traffic = { protocol: '-1' };
  const peer = { range: podCidr };
  const reason = `packets of pods as they are, ${backend}`;
  return (['in', 'out'] as const).map((direction) => ({
    id: 'pods',
    group: 'node',
    direction,
    peer,
    reason,
    ...any,
  }));
}

/** What a machine needs, whatever it does: its artifact, its parameters, Session Manager. */
function machineRules(group: 'node' | 'etcd', { vpcCidr, internet, endpoints }: RulePlan): Rule[] {
  const out = { group, direction: 'out', ...HTTPS } as const;
  return [
    { id: 'path-mtu', group, direction: 'in', peer: { range: vpcCidr }, reason: 'path MTU discovery', ...TOO_LARGE },
    { ...out, id: 's3', peer: { service: 's3' }, reason: 'artifacts, snapshots and packages from S3' },
    ...(endpoints
      ? between(`services-${group}`, group, 'endpoint', HTTPS, 'Systems Manager and EC2 by endpoints in the VPC')
      : []),
    ...(internet ? internetRule(group, endpoints) : []),
  ];
}

/** Pods reach what they like from behind the address of their node; members only the services that have no endpoint. */
function internetRule(group: 'node' | 'etcd', endpoints: boolean): Rule[] {
  const rule = { group, direction: 'out', peer: ANYWHERE } as const;
  if (group === 'node') {
    return [
      { ...rule, id: 'internet', protocol: '-1', reason: 'what pods reach outside, behind the address of their node' },
    ];
  }
  if (endpoints) return [];
  return [{ ...rule, id: 'services', reason: 'Systems Manager by its public addresses', ...HTTPS }];
}

/** Both ends of a conversation that `from` begins. */
function between(id: string, from: Group, to: Group, traffic: Traffic, reason: string): Rule[] {
  return [
    { id, group: to, direction: 'in', peer: { group: from }, reason, ...traffic },
    { id, group: from, direction: 'out', peer: { group: to }, reason, ...traffic },
  ];
}

export interface FlannelSecurityArgs extends RulePlan {
  readonly vpcId: pulumi.Input<string>;
  /** FlannelNetwork.s3PrefixListId. */
  readonly s3PrefixListId: pulumi.Input<string>;
}

const DESCRIPTIONS: Readonly<Record<Group, string>> = {
  node: 'Nodes of flannel',
  etcd: 'Members of the etcd of flannel',
  endpoint: 'Endpoints of AWS services',
};

export class FlannelSecurity extends pulumi.ComponentResource {
  /** Ids. */
  readonly groups: { readonly node: pulumi.Output<string>; readonly etcd: pulumi.Output<string> };
  /** Of interface endpoints, where there are some. */
  readonly endpointGroup?: pulumi.Output<string>;

  constructor(
    name: string,
    private readonly args: FlannelSecurityArgs,
    options?: pulumi.ComponentResourceOptions,
  ) {
    super('flannel:aws:Security', name, {}, options);
    const make = (group: Group) => {
      const created = new SecurityGroup(
        `${name}-${group}`,
        { vpcId: args.vpcId, description: DESCRIPTIONS[group], tags: named(group, group) },
        { parent: this },
      );
      return created.id;
    };
    this.groups = { node: make('node'), etcd: make('etcd') };
    if (args.endpoints) this.endpointGroup = make('endpoint');
    for (const rule of planRules(args)) this.make(name, rule);
    this.registerOutputs({ groups: this.groups });
  }

  private make(name: string, rule: Rule): void {
    const { group, direction, id, reason, protocol, ports } = rule;
    const Resource = direction === 'in' ? SecurityGroupIngressRule : SecurityGroupEgressRule;
    new Resource(
      `${name}-${group}-${direction}-${id}`,
      {
        securityGroupId: this.idOf(group),
        description: reason,
        ipProtocol: protocol,
        ...(ports !== undefined && { fromPort: ports[0], toPort: ports[1] }),
        ...this.peer(rule.peer),
        tags: named(`${group}-${direction}-${id}`, group),
      },
      { parent: this },
    );
  }

  private idOf(group: Group): pulumi.Output<string> {
    return group === 'endpoint' ? this.endpointGroup! : this.groups[group];
  }

  private peer(
    peer: Peer,
  ):
    | { cidrIpv4: string }
    | { prefixListId: pulumi.Input<string> }
    | { referencedSecurityGroupId: pulumi.Output<string> } {
    if ('range' in peer) return { cidrIpv4: peer.range };
    if ('service' in peer) return { prefixListId: this.args.s3PrefixListId };
    return { referencedSecurityGroupId: this.idOf(peer.group) };
  }
}
