/** Instance roles: one for each kind of machine, with the permissions it needs and no others. */
import { InstanceProfile } from '@pulumi/aws/iam/instanceProfile';
import { Role as IamRole } from '@pulumi/aws/iam/role';
import { RolePolicy } from '@pulumi/aws/iam/rolePolicy';
import * as pulumi from '@pulumi/pulumi';
import { artifactPrefix } from './artifacts.ts';
import { parameterPath, type Role } from './contract.ts';
import { allow, policy, type Statement, trust } from './policy.ts';
import { named, STACK_TAG } from './tags.ts';

/** Path of all roles and profiles, so that the deployer's permissions can be limited to it; each stack's are below one of its own. */
export const IAM_PATH = '/flannel/';

export function iamPath(stack: string): string {
  return `${IAM_PATH}${stack}/`;
}

export interface Grants {
  readonly stack: string;
  readonly role: Role;
  /** The stack's key. */
  readonly keyArn: string;
  /** Of the artifacts' bucket. */
  readonly artifactsArn: string;
  /** Where etcd's members put snapshots. */
  readonly snapshots?: { readonly bucketArn: string; readonly prefix: string };
  /** Whether a node is in a group: it switches the source and destination check of its own interface, and completes the group's hooks. */
  readonly inGroup: boolean;
}

/** The permissions of a role as values, to be read and tested in one place. */
export function statements(grants: Grants): Statement[] {
  const { snapshots, inGroup, role } = grants;
  return [
    ...sessionManager(),
    ...artifacts(grants),
    ...parameters(grants),
    ...associations(),
    ...(role === 'etcd' && snapshots !== undefined ? snapshotStatements(grants.keyArn, snapshots) : []),
    ...(role === 'etcd' ? [seeNodes()] : []),
    ...(role === 'node' && inGroup ? [sourceDestCheck(grants), lifecycle(grants)] : []),
  ];
}

/**
 * Shells without SSH (Systems Manager user guide, "Create a custom IAM role for Session Manager"). The managed policy
 * AmazonSSMManagedInstanceCore would also let a machine read every parameter of the account.
 */
function sessionManager(): Statement[] {
  return [
    allow(
      'SessionManager',
      [
        'ssm:UpdateInstanceInformation',
        'ssmmessages:CreateControlChannel',
        'ssmmessages:CreateDataChannel',
        'ssmmessages:OpenControlChannel',
        'ssmmessages:OpenDataChannel',
      ],
      ['*'],
    ),
  ];
}

/** Commands that an `up` runs: the machine's agent asks for them and reports their end (State Manager). */
function associations(): Statement[] {
  return [
    allow(
      'RunAssociations',
      [
        'ssm:DescribeAssociation',
        'ssm:GetDocument',
        'ssm:ListAssociations',
        'ssm:ListInstanceAssociations',
        'ssm:PutComplianceItems',
        'ssm:UpdateAssociationStatus',
        'ssm:UpdateInstanceAssociationStatus',
      ],
      ['*'],
    ),
  ];
}

function artifacts({ role, artifactsArn, keyArn }: Grants): Statement[] {
  return [
    allow('FetchArtifacts', ['s3:GetObject'], [`${artifactsArn}/${artifactPrefix(role)}/*`]),
    // With a bucket key, S3 asks for the bucket's sake and not for the object's.
    allow('DecryptArtifacts', ['kms:Decrypt'], [keyArn], {
      StringEquals: { 'kms:EncryptionContext:aws:s3:arn': artifactsArn },
    }),
  ];
}

function parameters({ stack, role, keyArn }: Grants): Statement[] {
  const arn = `${serviceArn(keyArn, 'ssm')}:parameter${parameterPath(stack, role)}/*`;
  return [
    allow('ReadParameters', ['ssm:GetParameter', 'ssm:GetParameters'], [arn]),
    allow('DecryptParameters', ['kms:Decrypt'], [keyArn], {
      StringLike: { 'kms:EncryptionContext:PARAMETER_ARN': arn },
    }),
  ];
}

function snapshotStatements(keyArn: string, { bucketArn, prefix }: NonNullable<Grants['snapshots']>): Statement[] {
  return [
    allow('WriteSnapshots', ['s3:PutObject', 's3:GetObject'], [`${bucketArn}/${prefix}/*`]),
    allow('ListSnapshots', ['s3:ListBucket'], [bucketArn], { StringLike: { 's3:prefix': [`${prefix}/*`] } }),
    allow('EncryptSnapshots', ['kms:GenerateDataKey', 'kms:Decrypt'], [keyArn], {
      StringEquals: { 'kms:EncryptionContext:aws:s3:arn': bucketArn },
    }),
  ];
}

/** To tell leases of machines that are gone. EC2 knows no narrower permission to describe. */
function seeNodes(): Statement {
  return allow('SeeNodes', ['ec2:DescribeInstances'], ['*']);
}

/** Of the stack's groups alone; which machine it is about, IAM cannot tell. */
function lifecycle({ stack, keyArn }: Grants): Statement {
  const groups = `${serviceArn(keyArn, 'autoscaling')}:autoScalingGroup:*:autoScalingGroupName/*`;
  return allow('Lifecycle', ['autoscaling:CompleteLifecycleAction'], [groups], {
    StringEquals: { [`autoscaling:ResourceTag/${STACK_TAG}`]: stack },
  });
}

/** One attribute, and only of machines of this stack. */
function sourceDestCheck({ stack, keyArn }: Grants): Statement {
  return allow('SourceDestCheck', ['ec2:ModifyInstanceAttribute'], [`${serviceArn(keyArn, 'ec2')}:instance/*`], {
    StringEquals: { 'ec2:Attribute': 'SourceDestCheck', [`ec2:ResourceTag/${STACK_TAG}`]: stack },
  });
}

/** arn:PARTITION:kms:REGION:ACCOUNT:key/... knows partition, region and account; of another service's ARN that is the beginning. */
function serviceArn(keyArn: string, service: string): string {
  const [arn, partition, , region, account] = keyArn.split(':');
  return [arn, partition, service, region, account].join(':');
}

export interface InstanceRoleArgs {
  readonly stack: string;
  readonly role: Role;
  readonly keyArn: pulumi.Input<string>;
  readonly artifactsArn: pulumi.Input<string>;
  readonly snapshots?: { readonly bucketArn: pulumi.Input<string>; readonly prefix: string };
  readonly inGroup?: boolean;
  /** ARN of the policy that limits the role. */
  readonly permissionsBoundary?: string;
}

export class InstanceRole extends pulumi.ComponentResource {
  /** Name of the instance profile, which has its permissions already. */
  readonly profile: pulumi.Output<string>;

  constructor(name: string, args: InstanceRoleArgs, options?: pulumi.ComponentResourceOptions) {
    super('flannel:aws:InstanceRole', name, {}, options);
    const { stack, role, snapshots, inGroup = false, permissionsBoundary } = args;
    const created = new IamRole(
      name,
      {
        path: iamPath(stack),
        description: `flannel stack ${stack}: what an instance of role ${role} may do`,
        assumeRolePolicy: trust('ec2.amazonaws.com'),
        ...(permissionsBoundary !== undefined && { permissionsBoundary }),
        tags: named(name, role),
      },
      { parent: this },
    );
    const document = pulumi
      .all([args.keyArn, args.artifactsArn, snapshots?.bucketArn])
      .apply(([keyArn, artifactsArn, bucketArn]) =>
        policy(
          statements({
            stack,
            role,
            keyArn,
            artifactsArn,
            inGroup,
            ...(bucketArn !== undefined &&
              snapshots !== undefined && { snapshots: { bucketArn, prefix: snapshots.prefix } }),
          }),
        ),
      );
    const permissions = new RolePolicy(name, { role: created.id, policy: document }, { parent: this });
    const profile = new InstanceProfile(
      name,
      { path: iamPath(stack), role: created.name, tags: named(name, role) },
      // A machine that boots without its permissions fails, and tries again only later.
      { parent: this, dependsOn: [permissions] },
    );
    this.profile = profile.name;
    this.registerOutputs({ profile: this.profile });
  }
}
