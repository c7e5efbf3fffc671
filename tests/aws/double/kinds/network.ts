/**
 * VPC, subnets and the ways out of them. What replaces is ForceNew in terraform-provider-aws, internal/service/ec2/vpc*.go;
 * what is refused is in the EC2 API reference (CreateVpc, CreateSubnet, CreateRoute, DeleteVpc, ...).
 */
import { formatIp } from '@flannel-ts/inet/ip';
import {
  addressAt,
  formatPrefix,
  type Prefix,
  parsePrefix,
  prefixCovers,
  prefixesOverlap,
  prefixSize,
} from '@flannel-ts/inet/prefix';
import { ACCOUNT, type Context } from '../cloud.ts';
import { ApiError } from '../errors.ts';
import type { Kind } from '../kind.ts';
import { type Bag, isBag, plain, text, texts } from '../values.ts';

export const VPC = 'aws:ec2/vpc:Vpc';
export const SUBNET = 'aws:ec2/subnet:Subnet';
const GATEWAY = 'aws:ec2/internetGateway:InternetGateway';
const ROUTE_TABLE = 'aws:ec2/routeTable:RouteTable';
const ADDRESS = 'aws:ec2/eip:Eip';
const NAT = 'aws:ec2/natGateway:NatGateway';
const ENDPOINT = 'aws:ec2/vpcEndpoint:VpcEndpoint';
const GROUP = 'aws:ec2/securityGroup:SecurityGroup';
const INTERFACE = 'aws:ec2/networkInterface:NetworkInterface';
const INSTANCE = 'aws:ec2/instance:Instance';

export function ec2Arn(kind: string, id: string, { region }: Context): string {
  return `arn:aws:ec2:${region}:${ACCOUNT}:${kind}/${id}`;
}

function prefixOf(inputs: Bag, key: string): Prefix<4> {
  try {
    return parsePrefix(text(inputs, key) ?? '', 4);
  } catch {
    throw new ApiError('InvalidParameterValue', `Value (${text(inputs, key)}) for ${key} is no CIDR block`);
  }
}

/** Both VPCs and subnets: https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html */
function assertSize(prefix: Prefix<4>, code: string): void {
  if (prefix.length < 16 || prefix.length > 28) {
    throw new ApiError(code, `The CIDR '${formatPrefix(prefix)}' is invalid: between /16 and /28 is allowed`);
  }
}

function admitSubnet(inputs: Bag, { cloud, region }: Context): void {
  const prefix = prefixOf(inputs, 'cidrBlock');
  const vpc = cloud.require(VPC, text(inputs, 'vpcId') ?? '', 'InvalidVpcID.NotFound', 'vpc ID');
  assertSize(prefix, 'InvalidSubnet.Range');
  if (!prefixCovers(parsePrefix(text(plain(vpc.inputs), 'cidrBlock')!), prefix)) {
    throw new ApiError('InvalidSubnet.Range', `The CIDR '${text(inputs, 'cidrBlock')}' is not inside its VPC's`);
  }
  for (const other of cloud.users(SUBNET, 'vpcId', vpc.id)) {
    if (prefixesOverlap(parsePrefix(text(plain(other.inputs), 'cidrBlock')!), prefix)) {
      throw new ApiError(
        'InvalidSubnet.Conflict',
        `The CIDR '${text(inputs, 'cidrBlock')}' conflicts with another subnet (${other.id})`,
      );
    }
  }
  const zone = text(inputs, 'availabilityZone');
  if (zone !== undefined && !zonesOf(region).includes(zone)) {
    throw new ApiError('InvalidParameterValue', `Value (${zone}) for parameter availabilityZone is invalid`);
  }
}

export function zonesOf(region: string): readonly string[] {
  return ['a', 'b', 'c'].map((letter) => `${region}${letter}`);
}

/** The first address of a subnet that is not AWS's own, and that nobody has. */
export function freeAddress(subnetId: string, { cloud }: Context): string {
  const subnet = cloud.require(SUBNET, subnetId, 'InvalidSubnetID.NotFound', 'subnet ID');
  const prefix = parsePrefix(text(plain(subnet.inputs), 'cidrBlock')!);
  const taken = new Set<string>([
    ...[...cloud.machines.values()].map(({ address }) => address),
    ...cloud.users(INTERFACE, 'subnetId', subnetId).flatMap(({ outputs }) => texts(outputs.privateIps)),
    ...cloud.users(INSTANCE, 'subnetId', subnetId).flatMap(({ outputs }) => texts(outputs.privateIp)),
  ]);
  for (let host = 4; host < prefixSize(prefix) - 1; host++) {
    const address = formatIp(addressAt(prefix, host));
    if (!taken.has(address)) return address;
  }
  throw new ApiError('InsufficientFreeAddressesInSubnet', `The subnet '${subnetId}' has no address left`);
}

/** Machines of groups have interfaces too, though no resource of Pulumi's. */
function assertNoMachines(subnetId: string, { cloud }: Context): void {
  const machine = [...cloud.machines.values()].find((each) => each.subnetId === subnetId);
  if (machine === undefined) return;
  throw new ApiError('DependencyViolation', `The subnet '${subnetId}' has dependencies: the instance '${machine.id}'`);
}

function admitRoute(inputs: Bag, { cloud }: Context): void {
  const targets = ['gatewayId', 'natGatewayId', 'networkInterfaceId', 'vpcEndpointId', 'transitGatewayId'];
  const given = targets.filter((key) => text(inputs, key) !== undefined);
  if (given.length !== 1) {
    throw new ApiError('InvalidParameterCombination', `A route needs one target, ${given.length} were given`);
  }
  const table = cloud.require(
    ROUTE_TABLE,
    text(inputs, 'routeTableId') ?? '',
    'InvalidRouteTableID.NotFound',
    'route table',
  );
  const gateway = text(inputs, 'gatewayId');
  if (gateway === undefined) return;
  const attached = cloud.require(GATEWAY, gateway, 'InvalidGatewayID.NotFound', 'internet gateway');
  if (text(plain(attached.inputs), 'vpcId') !== text(plain(table.inputs), 'vpcId')) {
    throw new ApiError(
      'InvalidParameterValue',
      `route table ${table.id} and network gateway ${gateway} belong to different networks`,
    );
  }
}

function admitEndpoint(inputs: Bag, { cloud }: Context): void {
  const type = text(inputs, 'vpcEndpointType') ?? 'Gateway';
  const service = text(inputs, 'serviceName') ?? '';
  const isGatewayService = /\.(s3|dynamodb)$/.test(service);
  if (!/^com\.amazonaws\.[a-z0-9-]+\.[a-z0-9.-]+$/.test(service) || (type === 'Gateway' && !isGatewayService)) {
    throw new ApiError('InvalidServiceName', `The Vpc Endpoint Service '${service}' does not exist (${type})`);
  }
  const vpc = cloud.require(VPC, text(inputs, 'vpcId') ?? '', 'InvalidVpcId.NotFound', 'vpc ID');
  if (inputs.privateDnsEnabled === true) {
    const { enableDnsSupport = true, enableDnsHostnames } = plain(vpc.inputs);
    if (enableDnsSupport !== true || enableDnsHostnames !== true) {
      throw new ApiError(
        'InvalidParameter',
        'Enabling private DNS requires both enableDnsSupport and enableDnsHostnames',
      );
    }
  }
}

export const NETWORK: readonly Kind[] = [
  {
    type: VPC,
    prefix: 'vpc',
    replaces: ['cidrBlock', 'instanceTenancy', 'ipv4IpamPoolId'],
    admit: (inputs) => assertSize(prefixOf(inputs, 'cidrBlock'), 'InvalidVpc.Range'),
    outputs: (_, id, context) => ({
      arn: ec2Arn('vpc', id, context),
      enableDnsSupport: true,
      instanceTenancy: 'default',
      mainRouteTableId: id.replace('vpc-', 'rtb-'),
      defaultRouteTableId: id.replace('vpc-', 'rtb-'),
      defaultSecurityGroupId: id.replace('vpc-', 'sg-'),
      defaultNetworkAclId: id.replace('vpc-', 'acl-'),
      ownerId: ACCOUNT,
    }),
    blockers: [SUBNET, GATEWAY, ROUTE_TABLE, GROUP, ENDPOINT].map((type) => ({ type, path: 'vpcId' })),
  },
  {
    type: SUBNET,
    prefix: 'subnet',
    replaces: ['cidrBlock', 'availabilityZone', 'availabilityZoneId', 'vpcId', 'outpostArn'],
    admit: (inputs, context, old) => (old === undefined ? admitSubnet(inputs, context) : undefined),
    outputs: (inputs, id, context) => ({
      arn: ec2Arn('subnet', id, context),
      availabilityZone: zonesOf(context.region)[0]!,
      mapPublicIpOnLaunch: inputs.mapPublicIpOnLaunch ?? false,
      ownerId: ACCOUNT,
    }),
    release: ({ id }, context) => assertNoMachines(id, context),
    blockers: [
      { type: NAT, path: 'subnetId' },
      { type: INTERFACE, path: 'subnetId' },
      { type: INSTANCE, path: 'subnetId' },
      { type: ENDPOINT, path: 'subnetIds' },
    ],
  },
  {
    type: GATEWAY,
    prefix: 'igw',
    replaces: [],
    unique: { by: ['vpcId'], code: 'Resource.AlreadyAssociated' },
    outputs: (_, id, context) => ({ arn: ec2Arn('internet-gateway', id, context), ownerId: ACCOUNT }),
    // An internet gateway cannot be detached while the VPC has mapped public addresses.
    release: ({ id, inputs }, { cloud }) => {
      const subnets = cloud.users(SUBNET, 'vpcId', text(plain(inputs), 'vpcId') ?? '');
      const [nat] = subnets.flatMap((subnet) => cloud.users(NAT, 'subnetId', subnet.id));
      if (nat === undefined) return;
      throw new ApiError(
        'DependencyViolation',
        `Network has mapped public address(es) of ${nat.id}: '${id}' cannot be detached`,
      );
    },
    blockers: [{ type: 'aws:ec2/route:Route', path: 'gatewayId' }],
  },
  {
    type: ROUTE_TABLE,
    prefix: 'rtb',
    replaces: ['vpcId'],
    outputs: (_, id, context) => ({
      arn: ec2Arn('route-table', id, context),
      ownerId: ACCOUNT,
      routes: [],
      propagatingVgws: [],
    }),
    blockers: [{ type: 'aws:ec2/routeTableAssociation:RouteTableAssociation', path: 'routeTableId' }],
  },
  {
    type: 'aws:ec2/route:Route',
    untagged: true,
    id: (inputs) =>
      `r-${text(inputs, 'routeTableId')}${text(inputs, 'destinationCidrBlock') ?? text(inputs, 'destinationIpv6CidrBlock')}`,
    replaces: ['routeTableId', 'destinationCidrBlock', 'destinationIpv6CidrBlock', 'destinationPrefixListId'],
    admit: admitRoute,
    outputs: () => ({ state: 'active', origin: 'CreateRoute' }),
  },
  {
    type: 'aws:ec2/routeTableAssociation:RouteTableAssociation',
    untagged: true,
    prefix: 'rtbassoc',
    replaces: ['subnetId', 'gatewayId'],
    unique: { by: ['subnetId', 'gatewayId'], code: 'Resource.AlreadyAssociated' },
  },
  {
    type: ADDRESS,
    prefix: 'eipalloc',
    replaces: ['domain', 'networkBorderGroup', 'publicIpv4Pool', 'customerOwnedIpv4Pool'],
    validate: ({ domain }) => ({ domain: domain === undefined || domain === 'vpc' ? undefined : 'has to be "vpc"' }),
    outputs: (_, id, context) => ({
      arn: ec2Arn('elastic-ip', id, context),
      allocationId: id,
      publicIp: `203.0.113.${(Number.parseInt(id.slice(-4), 16) % 250) + 1}`,
    }),
    blockers: [{ type: NAT, path: 'allocationId' }],
    inUse: 'InvalidIPAddress.InUse',
  },
  {
    type: NAT,
    prefix: 'nat',
    replaces: ['allocationId', 'subnetId', 'connectivityType', 'privateIp'],
    admit: (inputs) => {
      if (text(inputs, 'connectivityType') === 'private' || text(inputs, 'allocationId') !== undefined) return;
      throw new ApiError('MissingParameter', 'A public NAT gateway needs an allocationId');
    },
    unique: { by: ['allocationId'], code: 'Resource.AlreadyAssociated' },
    outputs: (inputs, _, context) => ({
      connectivityType: 'public',
      privateIp: freeAddress(text(inputs, 'subnetId')!, context),
      publicIp: context.cloud.get(ADDRESS, text(inputs, 'allocationId') ?? '')?.outputs.publicIp ?? '',
    }),
    blockers: [{ type: 'aws:ec2/route:Route', path: 'natGatewayId' }],
  },
  {
    type: ENDPOINT,
    prefix: 'vpce',
    replaces: ['serviceName', 'vpcEndpointType', 'vpcId', 'serviceRegion'],
    admit: admitEndpoint,
    outputs: (_, id, context) => ({
      arn: ec2Arn('vpc-endpoint', id, context),
      prefixListId: `pl-${id.slice(-8)}`,
      cidrBlocks: [],
      networkInterfaceIds: [],
      dnsEntries: [],
      state: 'available',
      ownerId: ACCOUNT,
    }),
  },
  {
    type: 'aws:ec2/defaultSecurityGroup:DefaultSecurityGroup',
    id: (inputs) => text(inputs, 'vpcId')!.replace('vpc-', 'sg-'),
    replaces: ['vpcId'],
    outputs: (_, id, context) => ({ arn: ec2Arn('security-group', id, context), name: 'default', ownerId: ACCOUNT }),
  },
  {
    type: 'aws:ec2/flowLog:FlowLog',
    prefix: 'fl',
    replaces: 'all',
    references: [{ path: 'iamRoleArn', type: 'aws:iam/role:Role', code: 'InvalidParameter' }],
    admit: (inputs) => {
      const targets = ['vpcId', 'subnetId', 'eniId', 'transitGatewayId'].filter(
        (key) => text(inputs, key) !== undefined,
      );
      if (targets.length !== 1)
        throw new ApiError('InvalidParameter', `A flow log watches one thing, not ${targets.length}`);
      if (isBag(inputs.destinationOptions) && text(inputs, 'logDestinationType') !== 's3') {
        throw new ApiError('InvalidParameter', 'destinationOptions are for S3');
      }
    },
    outputs: (_, id, context) => ({ arn: ec2Arn('vpc-flow-log', id, context) }),
  },
];
