/** What whoever runs the program must be allowed to do: for docs/aws.md, and for a role of a CI system. */
import { BUCKET_PREFIX } from './bucket.ts';
import { IAM_PATH } from './iam.ts';
import { allow, type Statement } from './policy.ts';

/** Of all accounts and regions; a real one puts its account in the place of the star. */
const ROLES = `arn:aws:iam::*:role${IAM_PATH}*`;
const PROFILES = `arn:aws:iam::*:instance-profile${IAM_PATH}*`;
const BUCKETS = `arn:aws:s3:::${BUCKET_PREFIX}*`;

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
        'autoscaling:CreateOrUpdateTags',
        'autoscaling:DeleteTags',
        'autoscaling:SetInstanceProtection',
      ],
      ['*'],
    ),
    allow('NewestImage', ['ssm:GetParameter'], ['arn:aws:ssm:*::parameter/aws/service/ami-amazon-linux-latest/*']),
    allow('RunOnMembers', ['ssm:CreateAssociation', 'ssm:UpdateAssociation', 'ssm:DeleteAssociation'], ['*']),
    allow('ReadRuns', ['ssm:DescribeAssociation', 'ssm:ListAssociations', 'ssm:DescribeAssociationExecutions'], ['*']),
  ];
}

function identity(): Statement[] {
  return [
    allow(
      'Roles',
      [
        ...crud('iam', ['Role', 'InstanceProfile'], ['Create', 'Delete', 'Get', 'Tag', 'Untag']),
        ...crud('iam', ['RolePolicy'], ['Put', 'Get', 'Delete']),
        ...crud('iam', ['AssumeRolePolicy', 'Role'], ['Update']),
        ...crud('iam', ['RolePolicies', 'AttachedRolePolicies', 'InstanceProfilesForRole'], ['List']),
        'iam:AddRoleToInstanceProfile',
        'iam:RemoveRoleFromInstanceProfile',
      ],
      [ROLES, PROFILES],
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
      ['arn:aws:logs:*:*:log-group:network-flow-logs-*'],
    ),
  ];
}
