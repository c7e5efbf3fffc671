/** A VPC over one to three zones, with the ways out of it. Usable by itself; docs/aws.md has an example. */
import { formatPrefix, parsePrefixStrict } from '@flannel-ts/inet/prefix';
import { DefaultSecurityGroup } from '@pulumi/aws/ec2/defaultSecurityGroup';
import { Eip } from '@pulumi/aws/ec2/eip';
import { InternetGateway } from '@pulumi/aws/ec2/internetGateway';
import { NatGateway } from '@pulumi/aws/ec2/natGateway';
import { Route } from '@pulumi/aws/ec2/route';
import { RouteTable } from '@pulumi/aws/ec2/routeTable';
import { RouteTableAssociation } from '@pulumi/aws/ec2/routeTableAssociation';
import { Subnet } from '@pulumi/aws/ec2/subnet';
import { Vpc } from '@pulumi/aws/ec2/vpc';
import { VpcEndpoint } from '@pulumi/aws/ec2/vpcEndpoint';
import * as pulumi from '@pulumi/pulumi';
import { FlowLogs } from './flow-logs.ts';
import type { NatMode } from './settings.ts';
import { type PlannedSubnet, planSubnets, type SubnetPlan, type SubnetRole } from './subnets.ts';
import { named } from './tags.ts';

/** What decides how many resources there are is plain, so that a preview knows all of them. */
export interface FlannelNetworkArgs {
  /** /16 to /23, like 10.64.0.0/19; apart from the pods' range. Another one replaces the VPC and all in it. */
  readonly cidrBlock: string;
  readonly region: string;
  /** One to three; more may be added at the end without renumbering. */
  readonly zones: readonly string[];
  /** How private subnets reach the internet: by one NAT gateway, by one in each zone, or not at all (`one`). */
  readonly nat?: NatMode;
  /** Logs who talks to whom into CloudWatch (`false`). */
  readonly flowLogs?: boolean;
  /** ARN of the policy that limits the role of the flow logs. */
  readonly permissionsBoundary?: string;
  /** The VPC cannot be deleted by Pulumi (`false`). */
  readonly protect?: boolean;
}

export interface NetworkSubnet {
  readonly role: SubnetRole;
  readonly zone: string;
  readonly cidrBlock: string;
  readonly id: pulumi.Output<string>;
}

export class FlannelNetwork extends pulumi.ComponentResource {
  readonly plan: SubnetPlan;
  readonly vpcId: pulumi.Output<string>;
  /** By role, then by zone. There are no public ones without a NAT gateway, for nothing would be in them. */
  readonly subnets: readonly NetworkSubnet[];
  /** S3's addresses in this region, for rules of security groups. */
  readonly s3PrefixListId: pulumi.Output<string>;
  /** The public addresses that others see; empty without a way out. */
  readonly natAddresses: readonly pulumi.Output<string>[];

  private readonly vpc: Vpc;

  constructor(
    private readonly label: string,
    private readonly args: FlannelNetworkArgs,
    options?: pulumi.ComponentResourceOptions,
  ) {
    super('flannel:aws:Network', label, {}, options);
    const { zones, nat = 'one' } = args;
    this.plan = planSubnets(parsePrefixStrict(args.cidrBlock, 4), zones);
    this.vpc = new Vpc(
      label,
      { cidrBlock: args.cidrBlock, enableDnsSupport: true, enableDnsHostnames: true, tags: named('vpc') },
      { parent: this, ...(args.protect !== undefined && { protect: args.protect }) },
    );
    this.vpcId = this.vpc.id;
    // AWS's own group of a VPC lets its members talk to each other: with no rules it lets nobody, and cannot be used by mistake.
    new DefaultSecurityGroup(`${label}-default`, { vpcId: this.vpcId, tags: named('unused') }, { parent: this });
    const made = this.makeSubnets(nat !== 'none');
    this.subnets = [...made].map(([{ role, zone, prefix }, { id }]) => {
      return { role, zone, cidrBlock: formatPrefix(prefix), id };
    });
    const gateways = nat === 'none' ? [] : this.makeGateways(nat, this.makePublicRoutes(made), made);
    this.natAddresses = gateways.map(({ publicIp }) => publicIp);
    const tables = this.makePrivateRoutes(gateways, made);
    this.s3PrefixListId = this.makeS3Endpoint(tables).prefixListId;
    if (args.flowLogs) {
      const { permissionsBoundary } = args;
      const limited = { ...(permissionsBoundary !== undefined && { permissionsBoundary }) };
      new FlowLogs(`${label}-flow-logs`, { vpcId: this.vpcId, ...limited }, { parent: this });
    }
    const { vpcId, subnets, s3PrefixListId, natAddresses } = this;
    this.registerOutputs({ vpcId, subnets, s3PrefixListId, natAddresses });
  }

  /** Of one role, in the order of the zones. */
  subnetsOf(role: SubnetRole): readonly NetworkSubnet[] {
    return this.subnets.filter((subnet) => subnet.role === role);
  }

  private makeSubnets(withPublic: boolean): ReadonlyMap<PlannedSubnet, Subnet> {
    const wanted = this.plan.subnets.filter(({ role }) => withPublic || role !== 'public');
    return new Map(
      wanted.map((planned) => {
        const name = `${planned.role}-${planned.zoneIndex}`;
        const subnet = new Subnet(
          `${this.label}-${name}`,
          {
            vpcId: this.vpcId,
            cidrBlock: formatPrefix(planned.prefix),
            availabilityZone: planned.zone,
            mapPublicIpOnLaunch: false,
            tags: named(`${planned.role}-${planned.zone}`, planned.role),
          },
          // A subnet in another zone has the addresses of the one before.
          { parent: this, deleteBeforeReplace: true },
        );
        return [planned, subnet] as const;
      }),
    );
  }

  /** One table for all public subnets: what is in them has the same way out. */
  private makePublicRoutes(subnets: ReadonlyMap<PlannedSubnet, Subnet>): Route {
    const { label, vpcId } = this;
    const gateway = new InternetGateway(`${label}-internet`, { vpcId, tags: named('internet') }, { parent: this });
    const name = `${label}-public`;
    const table = new RouteTable(name, { vpcId, tags: named('public') }, { parent: this });
    const route = new Route(
      name,
      { routeTableId: table.id, destinationCidrBlock: '0.0.0.0/0', gatewayId: gateway.id },
      { parent: this },
    );
    for (const [{ role, zoneIndex }, { id: subnetId }] of subnets) {
      if (role !== 'public') continue;
      new RouteTableAssociation(`${name}-${zoneIndex}`, { routeTableId: table.id, subnetId }, { parent: this });
    }
    return route;
  }

  private makeGateways(
    nat: Exclude<NatMode, 'none'>,
    route: Route,
    subnets: ReadonlyMap<PlannedSubnet, Subnet>,
  ): NatGateway[] {
    const hosts = [...subnets].filter(
      ([{ role, zoneIndex }]) => role === 'public' && (nat === 'zone' || zoneIndex === 0),
    );
    return hosts.map(([{ zone, zoneIndex }, subnet]) => {
      const name = `${this.label}-nat-${zoneIndex}`;
      const tags = named(`nat-${zone}`);
      // An address is given back before the internet gateway can be detached, and a NAT gateway before its address.
      const options = { parent: this, dependsOn: [route] };
      const address = new Eip(name, { domain: 'vpc', tags }, options);
      return new NatGateway(name, { subnetId: subnet.id, allocationId: address.id, tags }, options);
    });
  }

  /** A table in each zone, whatever the NAT: so that another way out is another route, and nothing else. */
  private makePrivateRoutes(
    gateways: readonly NatGateway[],
    subnets: ReadonlyMap<PlannedSubnet, Subnet>,
  ): RouteTable[] {
    const { label, vpcId } = this;
    return this.args.zones.map((zone, index) => {
      const name = `${label}-private-${index}`;
      const table = new RouteTable(name, { vpcId, tags: named(`private-${zone}`) }, { parent: this });
      const gateway = gateways[index] ?? gateways[0];
      if (gateway !== undefined) {
        new Route(
          name,
          { routeTableId: table.id, destinationCidrBlock: '0.0.0.0/0', natGatewayId: gateway.id },
          { parent: this },
        );
      }
      for (const [{ role, zoneIndex }, { id: subnetId }] of subnets) {
        if (role === 'public' || zoneIndex !== index) continue;
        new RouteTableAssociation(`${label}-${role}-${index}`, { routeTableId: table.id, subnetId }, { parent: this });
      }
      return table;
    });
  }

  /** Costs nothing, and keeps artifacts, snapshots and the distribution's packages off the NAT gateway. */
  private makeS3Endpoint(tables: readonly RouteTable[]): VpcEndpoint {
    return new VpcEndpoint(
      `${this.label}-s3`,
      {
        vpcId: this.vpcId,
        serviceName: `com.amazonaws.${this.args.region}.s3`,
        vpcEndpointType: 'Gateway',
        routeTableIds: tables.map(({ id }) => id),
        tags: named('s3'),
      },
      { parent: this },
    );
  }
}
