/** Security groups and their rules: terraform-provider-aws, internal/service/ec2/vpc_security_group*.go. */
import { parsePrefixStrict } from '@flannel-ts/inet/prefix';
import { ACCOUNT, type Context, type Resource } from '../cloud.ts';
import { ApiError } from '../errors.ts';
import type { Kind } from '../kind.ts';
import { type Bag, plain, text } from '../values.ts';
import { ec2Arn, VPC } from './network.ts';

export const GROUP = 'aws:ec2/securityGroup:SecurityGroup';
const INGRESS = 'aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule';
const EGRESS = 'aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule';

/** EC2 API, CreateSecurityGroup: up to 255 characters of a-z, A-Z, 0-9, spaces, and ._-:/()#,@[]+=&;{}!$* */
const DESCRIPTION = /^[a-zA-Z0-9 ._\-:/()#,@[\]+=&;{}!$*]{0,255}$/;

function describe(value: unknown): string | undefined {
  if (typeof value !== 'string' || DESCRIPTION.test(value)) return undefined;
  const bad = [...value].filter((character) => !/[a-zA-Z0-9 ._\-:/()#,@[\]+=&;{}!$*]/.test(character));
  return bad.length > 0
    ? `cannot have ${JSON.stringify([...new Set(bad)].join(''))}: ${JSON.stringify(value)}`
    : `has ${value.length} characters, 255 are allowed`;
}

const SOURCES = ['cidrIpv4', 'cidrIpv6', 'prefixListId', 'referencedSecurityGroupId'];
const RULE_FIELDS = ['securityGroupId', 'ipProtocol', 'fromPort', 'toPort', ...SOURCES];
/** EC2 API, IpPermission: a name, a number, or -1 for all. */
const PROTOCOLS = ['tcp', 'udp', 'icmp', 'icmpv6', '-1'];

function admitRule(inputs: Bag): void {
  const given = SOURCES.filter((key) => text(inputs, key) !== undefined);
  if (given.length !== 1) {
    throw new ApiError(
      'InvalidParameterCombination',
      `A rule names one source or destination, ${given.length} were given`,
    );
  }
  const cidr = text(inputs, 'cidrIpv4');
  if (cidr !== undefined) parseStrictly(cidr);
  const protocol = text(inputs, 'ipProtocol') ?? '';
  const known = PROTOCOLS.includes(protocol) || (/^\d{1,3}$/.test(protocol) && Number(protocol) <= 255);
  if (!known)
    throw new ApiError('InvalidParameterValue', `Invalid value '${protocol}' for IP protocol. Unknown protocol.`);
  const { fromPort, toPort } = inputs;
  if (protocol === 'tcp' || protocol === 'udp') assertPorts(fromPort, toPort);
  if (protocol === '-1' && (fromPort !== undefined || toPort !== undefined)) {
    throw new ApiError('InvalidParameterValue', 'You may not specify ports for all protocols');
  }
}

function parseStrictly(cidr: string): void {
  try {
    parsePrefixStrict(cidr);
  } catch {
    throw new ApiError('InvalidParameterValue', `CIDR block ${cidr} is malformed`);
  }
}

function assertPorts(from: unknown, to: unknown): void {
  const port = (value: unknown): boolean =>
    typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 65535;
  if (port(from) && port(to) && Number(from) <= Number(to)) return;
  throw new ApiError('InvalidParameterValue', `Invalid port range ${String(from)}-${String(to)}`);
}

/** Users that are no resource with a list of groups: rules of other groups, and machines of groups. */
function assertUnused({ id }: Resource, { cloud }: Context): void {
  for (const type of [INGRESS, EGRESS]) {
    const rule = cloud
      .users(type, 'referencedSecurityGroupId', id)
      .find(({ inputs }) => text(plain(inputs), 'securityGroupId') !== id);
    if (rule !== undefined)
      throw new ApiError('DependencyViolation', `resource ${id} has a dependent object: rule ${rule.id}`);
  }
  const machine = [...cloud.machines.values()].find(({ securityGroups }) => securityGroups.includes(id));
  if (machine !== undefined) {
    throw new ApiError('DependencyViolation', `resource ${id} has a dependent object: the instance ${machine.id}`);
  }
}

/** A group goes with its rules. */
function rule(type: string): Kind {
  return {
    type,
    prefix: 'sgr',
    replaces: ['securityGroupId'],
    validate: ({ description }) => ({ description: describe(description) }),
    references: [
      { path: 'securityGroupId', type: GROUP, code: 'InvalidGroup.NotFound' },
      { path: 'referencedSecurityGroupId', type: GROUP, code: 'InvalidGroup.NotFound' },
    ],
    admit: admitRule,
    unique: { by: RULE_FIELDS, code: 'InvalidPermission.Duplicate' },
    outputs: (_, id, context) => ({ arn: ec2Arn('security-group-rule', id, context), securityGroupRuleId: id }),
  };
}

export const SECURITY: readonly Kind[] = [
  {
    type: GROUP,
    prefix: 'sg',
    autoName: 'name',
    replaces: ['name', 'namePrefix', 'description', 'vpcId'],
    validate: ({ description, name }) => ({
      description: description === '' ? 'cannot be empty' : describe(description),
      name: typeof name === 'string' && name.startsWith('sg-') ? 'cannot begin with "sg-"' : undefined,
    }),
    references: [{ path: 'vpcId', type: VPC, code: 'InvalidVpcID.NotFound' }],
    unique: { by: ['vpcId', 'name'], code: 'InvalidGroup.Duplicate' },
    outputs: (inputs, id, context) => ({
      arn: ec2Arn('security-group', id, context),
      description: 'Managed by Pulumi',
      ownerId: ACCOUNT,
      ingress: inputs.ingress ?? [],
      egress: inputs.egress ?? [],
    }),
    release: assertUnused,
    blockers: [
      { type: 'aws:ec2/networkInterface:NetworkInterface', path: 'securityGroups' },
      { type: 'aws:ec2/instance:Instance', path: 'vpcSecurityGroupIds' },
      { type: 'aws:ec2/vpcEndpoint:VpcEndpoint', path: 'securityGroupIds' },
    ],
  },
  rule(INGRESS),
  rule(EGRESS),
];
