/** What a stack made in the double, asked for again in the emulation of AWS's API: networks, groups, roles and templates. */
import type { ResourceView } from '../double/protocol.ts';
import { field, type Moto, type Parameters, type Service } from './server.ts';

type Inputs = Readonly<Record<string, unknown>>;

interface Call {
  readonly service?: Service;
  readonly action: string;
  readonly parameters: Parameters;
}

interface Recipe {
  /** The first makes it; the others complete it. `$` stands for the id that the first has given. */
  readonly calls: (inputs: Inputs) => readonly Call[];
  /** The element in which the first answers the id; without it, the id is the double's. */
  readonly id?: string;
}

function text(inputs: Inputs, key: string): string | undefined {
  const value = inputs[key];
  return value === undefined || value === null ? undefined : String(value);
}

/** Lists are numbered from 1: SubnetId.1, SubnetId.2. */
function numbered(name: string, values: unknown): Parameters {
  const list = Array.isArray(values) ? values : [];
  return Object.fromEntries(list.map((value, i) => [`${name}.${i + 1}`, String(value)]));
}

/** A rule's source or destination. */
function permission(inputs: Inputs): Parameters {
  const prefix = 'IpPermissions.1';
  const cidr = text(inputs, 'cidrIpv4');
  const group = text(inputs, 'referencedSecurityGroupId');
  const list = text(inputs, 'prefixListId');
  return {
    GroupId: text(inputs, 'securityGroupId'),
    [`${prefix}.IpProtocol`]: text(inputs, 'ipProtocol'),
    [`${prefix}.FromPort`]: text(inputs, 'fromPort'),
    [`${prefix}.ToPort`]: text(inputs, 'toPort'),
    ...(cidr === undefined
      ? {}
      : { [`${prefix}.IpRanges.1.CidrIp`]: cidr, [`${prefix}.IpRanges.1.Description`]: text(inputs, 'description') }),
    ...(group === undefined
      ? {}
      : { [`${prefix}.Groups.1.GroupId`]: group, [`${prefix}.Groups.1.Description`]: text(inputs, 'description') }),
    ...(list === undefined ? {} : { [`${prefix}.PrefixListIds.1.PrefixListId`]: list }),
  };
}

const EC2: Readonly<Record<string, Recipe>> = {
  'aws:ec2/vpc:Vpc': {
    id: 'vpcId',
    calls: (inputs) => [
      { action: 'CreateVpc', parameters: { CidrBlock: text(inputs, 'cidrBlock') } },
      {
        action: 'ModifyVpcAttribute',
        parameters: { VpcId: '$', 'EnableDnsHostnames.Value': text(inputs, 'enableDnsHostnames') ?? 'false' },
      },
    ],
  },
  'aws:ec2/subnet:Subnet': {
    id: 'subnetId',
    calls: (inputs) => [
      {
        action: 'CreateSubnet',
        parameters: {
          VpcId: text(inputs, 'vpcId'),
          CidrBlock: text(inputs, 'cidrBlock'),
          AvailabilityZone: text(inputs, 'availabilityZone'),
        },
      },
    ],
  },
  'aws:ec2/internetGateway:InternetGateway': {
    id: 'internetGatewayId',
    calls: (inputs) => [
      { action: 'CreateInternetGateway', parameters: {} },
      { action: 'AttachInternetGateway', parameters: { InternetGatewayId: '$', VpcId: text(inputs, 'vpcId') } },
    ],
  },
  'aws:ec2/routeTable:RouteTable': {
    id: 'routeTableId',
    calls: (inputs) => [{ action: 'CreateRouteTable', parameters: { VpcId: text(inputs, 'vpcId') } }],
  },
  'aws:ec2/route:Route': {
    calls: (inputs) => [
      {
        action: 'CreateRoute',
        parameters: {
          RouteTableId: text(inputs, 'routeTableId'),
          DestinationCidrBlock: text(inputs, 'destinationCidrBlock'),
          GatewayId: text(inputs, 'gatewayId'),
          NatGatewayId: text(inputs, 'natGatewayId'),
        },
      },
    ],
  },
  'aws:ec2/routeTableAssociation:RouteTableAssociation': {
    id: 'associationId',
    calls: (inputs) => [
      {
        action: 'AssociateRouteTable',
        parameters: { RouteTableId: text(inputs, 'routeTableId'), SubnetId: text(inputs, 'subnetId') },
      },
    ],
  },
  'aws:ec2/eip:Eip': {
    id: 'allocationId',
    calls: () => [{ action: 'AllocateAddress', parameters: { Domain: 'vpc' } }],
  },
  'aws:ec2/natGateway:NatGateway': {
    id: 'natGatewayId',
    calls: (inputs) => [
      {
        action: 'CreateNatGateway',
        parameters: { SubnetId: text(inputs, 'subnetId'), AllocationId: text(inputs, 'allocationId') },
      },
    ],
  },
  'aws:ec2/vpcEndpoint:VpcEndpoint': {
    id: 'vpcEndpointId',
    calls: (inputs) => [
      {
        action: 'CreateVpcEndpoint',
        parameters: {
          VpcId: text(inputs, 'vpcId'),
          ServiceName: text(inputs, 'serviceName'),
          VpcEndpointType: text(inputs, 'vpcEndpointType') ?? 'Gateway',
          PrivateDnsEnabled: text(inputs, 'privateDnsEnabled'),
          PolicyDocument: text(inputs, 'policy'),
          ...numbered('RouteTableId', inputs.routeTableIds),
          ...numbered('SubnetId', inputs.subnetIds),
          ...numbered('SecurityGroupId', inputs.securityGroupIds),
        },
      },
    ],
  },
};

const GROUPS: Readonly<Record<string, Recipe>> = {
  'aws:ec2/securityGroup:SecurityGroup': {
    id: 'groupId',
    calls: (inputs) => [
      {
        action: 'CreateSecurityGroup',
        parameters: {
          GroupName: text(inputs, 'name'),
          GroupDescription: text(inputs, 'description') ?? 'Managed by Pulumi',
          VpcId: text(inputs, 'vpcId'),
        },
      },
      // The provider takes away the rule by which AWS lets a new group send everything.
      {
        action: 'RevokeSecurityGroupEgress',
        parameters: {
          GroupId: '$',
          'IpPermissions.1.IpProtocol': '-1',
          'IpPermissions.1.IpRanges.1.CidrIp': '0.0.0.0/0',
        },
      },
    ],
  },
  'aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule': {
    calls: (inputs) => [{ action: 'AuthorizeSecurityGroupIngress', parameters: permission(inputs) }],
  },
  'aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule': {
    calls: (inputs) => [{ action: 'AuthorizeSecurityGroupEgress', parameters: permission(inputs) }],
  },
  'aws:ec2/networkInterface:NetworkInterface': {
    id: 'networkInterfaceId',
    calls: (inputs) => [
      {
        action: 'CreateNetworkInterface',
        parameters: {
          SubnetId: text(inputs, 'subnetId'),
          PrivateIpAddress: Array.isArray(inputs.privateIps) ? String(inputs.privateIps[0]) : undefined,
          ...numbered('SecurityGroupId', inputs.securityGroups),
        },
      },
    ],
  },
};

const MACHINES: Readonly<Record<string, Recipe>> = {
  'aws:ebs/volume:Volume': {
    id: 'volumeId',
    calls: (inputs) => [
      {
        action: 'CreateVolume',
        parameters: {
          AvailabilityZone: text(inputs, 'availabilityZone'),
          Size: text(inputs, 'size'),
          VolumeType: text(inputs, 'type'),
          Encrypted: text(inputs, 'encrypted'),
        },
      },
    ],
  },
  'aws:ec2/launchTemplate:LaunchTemplate': {
    id: 'launchTemplateId',
    calls: (inputs) => [
      {
        action: 'CreateLaunchTemplate',
        parameters: {
          LaunchTemplateName: text(inputs, 'name'),
          'LaunchTemplateData.InstanceType': text(inputs, 'instanceType'),
          'LaunchTemplateData.UserData': text(inputs, 'userData'),
          'LaunchTemplateData.MetadataOptions.HttpTokens': 'required',
          ...numbered('LaunchTemplateData.SecurityGroupId', inputs.vpcSecurityGroupIds),
        },
      },
    ],
  },
};

const IAM: Readonly<Record<string, Recipe>> = {
  'aws:iam/role:Role': {
    calls: (inputs) => [
      {
        service: 'iam',
        action: 'CreateRole',
        parameters: {
          RoleName: text(inputs, 'name'),
          AssumeRolePolicyDocument: text(inputs, 'assumeRolePolicy'),
          Path: text(inputs, 'path'),
          Description: text(inputs, 'description'),
        },
      },
    ],
  },
  'aws:iam/rolePolicy:RolePolicy': {
    calls: (inputs) => [
      {
        service: 'iam',
        action: 'PutRolePolicy',
        parameters: {
          RoleName: text(inputs, 'role'),
          PolicyName: text(inputs, 'name'),
          PolicyDocument: text(inputs, 'policy'),
        },
      },
    ],
  },
  'aws:iam/rolePolicyAttachment:RolePolicyAttachment': {
    calls: (inputs) => [
      {
        service: 'iam',
        action: 'AttachRolePolicy',
        parameters: { RoleName: text(inputs, 'role'), PolicyArn: text(inputs, 'policyArn') },
      },
    ],
  },
  'aws:iam/instanceProfile:InstanceProfile': {
    calls: (inputs) => {
      const profile = { InstanceProfileName: text(inputs, 'name') };
      return [
        { service: 'iam', action: 'CreateInstanceProfile', parameters: { ...profile, Path: text(inputs, 'path') } },
        {
          service: 'iam',
          action: 'AddRoleToInstanceProfile',
          parameters: { ...profile, RoleName: text(inputs, 'role') },
        },
      ];
    },
  },
};

const RECIPES: Readonly<Record<string, Recipe>> = { ...EC2, ...GROUPS, ...MACHINES, ...IAM };

/** Asks for these resources in this order; gives how many requests of each kind were made. Throws the first Refusal. */
export async function replay(moto: Moto, resources: readonly ResourceView[]): Promise<ReadonlyMap<string, number>> {
  const ids = new Map<string, string>();
  const counts = new Map<string, number>();
  for (const { type, id, inputs } of resources) {
    const recipe = RECIPES[type];
    if (recipe === undefined) continue;
    let own = id;
    for (const [i, { service = 'ec2', action, parameters }] of recipe.calls(inputs).entries()) {
      const answer = await moto.ask(service, action, translated(parameters, ids, own));
      counts.set(action, (counts.get(action) ?? 0) + 1);
      if (i === 0 && recipe.id !== undefined) own = field(answer, recipe.id) ?? own;
    }
    ids.set(id, own);
  }
  return counts;
}

/** With the ids that the emulation has given for those of the double. */
function translated(parameters: Parameters, ids: ReadonlyMap<string, string>, own: string): Parameters {
  return Object.fromEntries(
    Object.entries(parameters).map(([key, value]) => [key, value === '$' ? own : (ids.get(String(value)) ?? value)]),
  );
}
