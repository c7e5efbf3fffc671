/**
 * What whoever runs the program must be allowed to do: for docs/aws.md, and for a role of a CI system. Besides each call that the
 * providers make stand the actions that AWS checks on the way (Service Authorization Reference, "Dependent actions").
 */
import { BUCKET_PREFIX } from './bucket.ts';
import { flowLogStatements } from './flow-logs.ts';
import { IAM_PATH, statements } from './iam.ts';
import { allow, type Statement } from './policy.ts';

/** Of all accounts and regions; a real one puts its account in the place of the star. */
const ROLES = `arn:aws:iam::*:role${IAM_PATH}*`;
const PROFILES = `arn:aws:iam::*:instance-profile${IAM_PATH}*`;
const BUCKETS = `arn:aws:s3:::${BUCKET_PREFIX}*`;
const FLOW_LOGS = 'arn:aws:logs:*:*:log-group:network-flow-logs-*';
/** The policy that limits all roles of the path. Whoever could create a role without it could give a machine, and so himself, everything. */
export const BOUNDARY = 'arn:aws:iam::*:policy/flannel-boundary';
const WITHIN_BOUNDARY = { ArnLike: { 'iam:PermissionsBoundary': BOUNDARY } };

/** Each verb with each thing, as service:VerbThing. */
const crud = (service: string, things: readonly string[], verbs: readonly string[] = ['Create', 'Delete']) =>
  things.flatMap((thing) => verbs.map((verb) => `${service}:${verb}${thing}`));

const actions = (service: string, names: readonly string[]) => names.map((name) => `${service}:${name}`);

export function deployerStatements(): Statement[] {
  return [...network(), ...machines(), ...identity(), ...data()];
}

function network(): Statement[] {
  return [
    allow('Read', ['ec2:Describe*', 'autoscaling:Describe*', 'logs:DescribeLogGroups', 'kms:ListAliases'], ['*']),
    allow(
      'Network',
      [
        ...crud('ec2', ['Vpc', 'Subnet', 'RouteTable', 'Route', 'InternetGateway', 'NatGateway', 'FlowLogs']),
        ...crud('ec2', ['SecurityGroup', 'NetworkInterface', 'Tags']),
        ...crud(
          'ec2',
          ['VpcAttribute', 'SubnetAttribute', 'SecurityGroupRules', 'NetworkInterfaceAttribute'],
          ['Modify'],
        ),
        ...crud('ec2', ['VpcEndpoint'], ['Create', 'Modify']),
        'ec2:DeleteVpcEndpoints',
        // An endpoint with private DNS brings a hosted zone with it.
        'route53:AssociateVPCWithHostedZone',
        'ec2:ReplaceRoute',
        ...crud('ec2', ['RouteTable', 'Address'], ['Associate', 'Disassociate']),
        ...crud('ec2', ['Address'], ['Allocate', 'Release']),
        ...crud('ec2', ['InternetGateway', 'NetworkInterface'], ['Attach', 'Detach']),
        ...crud('ec2', ['SecurityGroupIngress', 'SecurityGroupEgress'], ['Authorize', 'Revoke']),
      ],
      ['*'],
    ),
  ];
}

function machines(): Statement[] {
  return [
    allow(
      'Machines',
      [
        ...crud('ec2', ['Instances'], ['Run', 'Start', 'Stop', 'Terminate']),
        'ec2:ModifyInstanceAttribute',
        'ec2:ModifyInstanceMetadataOptions',
        ...crud('ec2', ['Volume'], ['Create', 'Delete', 'Attach', 'Detach', 'Modify']),
        ...crud('ec2', ['LaunchTemplate'], ['Create', 'Modify', 'Delete']),
        'ec2:CreateLaunchTemplateVersion',
        ...crud('autoscaling', ['AutoScalingGroup'], ['Create', 'Update', 'Delete']),
        ...crud('autoscaling', ['InstanceRefresh'], ['Start', 'Cancel']),
        ...crud('autoscaling', ['LifecycleHook'], ['Put', 'Delete']),
        'autoscaling:CreateOrUpdateTags',
        'autoscaling:DeleteTags',
        'autoscaling:SetInstanceProtection',
      ],
      ['*'],
    ),
    allow('NewestImage', ['ssm:GetParameter'], ['arn:aws:ssm:*::parameter/aws/service/ami-amazon-linux-latest/*']),
    allow('RunOnMembers', ['ssm:CreateAssociation', 'ssm:UpdateAssociation', 'ssm:DeleteAssociation'], ['*']),
    // An association is created with its tags, and the provider reads them back.
    allow(
      'TagRuns',
      ['ssm:AddTagsToResource', 'ssm:RemoveTagsFromResource', 'ssm:ListTagsForResource'],
      ['arn:aws:ssm:*:*:association/*'],
    ),
    // `npm run conformance` and `npm run ephemeral` run their checks on the nodes.
    allow(
      'RunChecks',
      ['ssm:SendCommand'],
      ['arn:aws:ssm:*::document/AWS-RunShellScript', 'arn:aws:ec2:*:*:instance/*'],
    ),
    allow('ReadChecks', ['ssm:GetCommandInvocation', 'ssm:DescribeInstanceInformation'], ['*']),
    allow('ReadRuns', ['ssm:DescribeAssociation', 'ssm:ListAssociations', 'ssm:DescribeAssociationExecutions'], ['*']),
  ];
}

function identity(): Statement[] {
  return [
    allow(
      'Roles',
      [
        ...crud('iam', ['Role'], ['Delete', 'Get', 'Tag', 'Untag']),
        ...crud('iam', ['InstanceProfile'], ['Create', 'Delete', 'Get', 'Tag', 'Untag']),
        ...crud('iam', ['RolePolicy'], ['Get', 'Delete']),
        ...crud('iam', ['AssumeRolePolicy', 'Role'], ['Update']),
        ...crud('iam', ['RolePolicies', 'AttachedRolePolicies', 'InstanceProfilesForRole'], ['List']),
        'iam:AddRoleToInstanceProfile',
        'iam:RemoveRoleFromInstanceProfile',
      ],
      [ROLES, PROFILES],
    ),
    allow(
      'RolesWithinBoundary',
      ['iam:CreateRole', 'iam:PutRolePolicy', 'iam:PutRolePermissionsBoundary'],
      [ROLES],
      WITHIN_BOUNDARY,
    ),
    allow('PassRoles', ['iam:PassRole'], [ROLES], {
      StringEquals: { 'iam:PassedToService': ['ec2.amazonaws.com', 'vpc-flow-logs.amazonaws.com'] },
    }),
    // An account has it from its first Auto Scaling group on.
    allow('ServiceRole', ['iam:CreateServiceLinkedRole'], ['*'], {
      StringEquals: { 'iam:AWSServiceName': 'autoscaling.amazonaws.com' },
    }),
  ];
}

function data(): Statement[] {
  return [
    allow('Buckets', ['s3:*'], [BUCKETS, `${BUCKETS}/*`]),
    allow(
      'Parameters',
      actions('ssm', [
        ...['PutParameter', 'GetParameter', 'GetParameters', 'DeleteParameter'],
        ...['AddTagsToResource', 'RemoveTagsFromResource', 'ListTagsForResource'],
      ]),
      ['arn:aws:ssm:*:*:parameter/flannel/*'],
    ),
    allow('DescribeParameters', ['ssm:DescribeParameters'], ['*']),
    allow(
      'Keys',
      actions('kms', [
        ...['CreateKey', 'DescribeKey', 'UpdateKeyDescription', 'ScheduleKeyDeletion', 'GetKeyPolicy', 'CreateGrant'],
        ...['CreateAlias', 'UpdateAlias', 'DeleteAlias', 'EnableKeyRotation', 'GetKeyRotationStatus'],
        ...['TagResource', 'UntagResource', 'ListResourceTags'],
        ...['Encrypt', 'Decrypt', 'GenerateDataKey', 'GenerateDataKeyWithoutPlaintext'],
      ]),
      ['*'],
    ),
    allow(
      'FlowLogs',
      actions('logs', [
        ...['CreateLogGroup', 'DeleteLogGroup', 'PutRetentionPolicy'],
        ...['TagResource', 'UntagResource', 'ListTagsForResource'],
      ]),
      [FLOW_LOGS],
    ),
  ];
}

/**
 * The most that a role of the program's may be given, as the policy `flannel-boundary`: what the roles of all stacks together have. A
 * role may do what both this and its own policy allow, so that each stays bound to its own stack's key, bucket and parameters.
 */
export function boundaryStatements(): Statement[] {
  const keyArn = 'arn:aws:kms:*:*:key/*';
  const any = { stack: '*', keyArn, artifactsArn: BUCKETS, inGroup: true };
  const roles = [
    ...statements({ ...any, role: 'node' }),
    ...statements({ ...any, role: 'etcd', snapshots: { bucketArn: BUCKETS, prefix: '*' } }),
    ...flowLogStatements(FLOW_LOGS),
  ];
  const merged = new Map<string, Statement>();
  for (const { Sid, Action, Resource, Condition } of roles) {
    const before = merged.get(Sid);
    const attribute = Condition?.StringEquals?.['ec2:Attribute'];
    merged.set(
      Sid,
      allow(
        Sid,
        union(before?.Action, Action),
        union(before?.Resource, Resource),
        attribute === undefined ? undefined : { StringEquals: { 'ec2:Attribute': attribute } },
      ),
    );
  }
  return [...merged.values()];
}

function union(before: readonly string[] = [], more: readonly string[]): string[] {
  return [...new Set([...before, ...more])];
}
