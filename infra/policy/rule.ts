/** Policies as values: pure functions of what a resource is asked to be. Pulumi's SDK for policies meets them in pack.ts. */
import type { VolumeArgs } from '@pulumi/aws/ebs/volume';
import type { DefaultSecurityGroupArgs } from '@pulumi/aws/ec2/defaultSecurityGroup';
import type { EipArgs } from '@pulumi/aws/ec2/eip';
import type { InstanceArgs } from '@pulumi/aws/ec2/instance';
import type { KeyPairArgs } from '@pulumi/aws/ec2/keyPair';
import type { LaunchTemplateArgs } from '@pulumi/aws/ec2/launchTemplate';
import type { NetworkInterfaceArgs } from '@pulumi/aws/ec2/networkInterface';
import type { SecurityGroupArgs } from '@pulumi/aws/ec2/securityGroup';
import type { SecurityGroupRuleArgs } from '@pulumi/aws/ec2/securityGroupRule';
import type { SubnetArgs } from '@pulumi/aws/ec2/subnet';
import type { VpcArgs } from '@pulumi/aws/ec2/vpc';
import type { PolicyArgs } from '@pulumi/aws/iam/policy';
import type { RoleArgs } from '@pulumi/aws/iam/role';
import type { RolePolicyArgs } from '@pulumi/aws/iam/rolePolicy';
import type { KeyArgs } from '@pulumi/aws/kms/key';
import type { BucketArgs } from '@pulumi/aws/s3/bucket';
import type { BucketPolicyArgs } from '@pulumi/aws/s3/bucketPolicy';
import type { BucketPublicAccessBlockArgs } from '@pulumi/aws/s3/bucketPublicAccessBlock';
import type { BucketVersioningArgs } from '@pulumi/aws/s3/bucketVersioning';
import type { ParameterArgs } from '@pulumi/aws/ssm/parameter';
import type { SecurityGroupEgressRuleArgs } from '@pulumi/aws/vpc/securityGroupEgressRule';
import type { SecurityGroupIngressRuleArgs } from '@pulumi/aws/vpc/securityGroupIngressRule';
import type { Unwrap } from '@pulumi/pulumi';

/** The types that policies look into, by their tokens. */
interface ArgsOf {
  'aws:ebs/volume:Volume': VolumeArgs;
  'aws:ec2/defaultSecurityGroup:DefaultSecurityGroup': DefaultSecurityGroupArgs;
  'aws:ec2/eip:Eip': EipArgs;
  'aws:ec2/instance:Instance': InstanceArgs;
  'aws:ec2/keyPair:KeyPair': KeyPairArgs;
  'aws:ec2/launchTemplate:LaunchTemplate': LaunchTemplateArgs;
  'aws:ec2/networkInterface:NetworkInterface': NetworkInterfaceArgs;
  'aws:ec2/securityGroup:SecurityGroup': SecurityGroupArgs;
  'aws:ec2/securityGroupRule:SecurityGroupRule': SecurityGroupRuleArgs;
  'aws:ec2/subnet:Subnet': SubnetArgs;
  'aws:ec2/vpc:Vpc': VpcArgs;
  'aws:iam/policy:Policy': PolicyArgs;
  'aws:iam/role:Role': RoleArgs;
  'aws:iam/rolePolicy:RolePolicy': RolePolicyArgs;
  'aws:kms/key:Key': KeyArgs;
  'aws:s3/bucket:Bucket': BucketArgs;
  'aws:s3/bucketPolicy:BucketPolicy': BucketPolicyArgs;
  'aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock': BucketPublicAccessBlockArgs;
  'aws:s3/bucketVersioning:BucketVersioning': BucketVersioningArgs;
  'aws:ssm/parameter:Parameter': ParameterArgs;
  'aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule': SecurityGroupEgressRuleArgs;
  'aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule': SecurityGroupIngressRuleArgs;
}

export type Type = keyof ArgsOf;
export type Props<T extends Type> = Unwrap<ArgsOf[T]>;

/** What surrounds a resource's properties. */
export interface ResourceContext {
  readonly stack: string;
  readonly project: string;
  readonly protect: boolean;
  /** Its own and the provider's; undefined where a preview does not know them yet. */
  readonly tags: Readonly<Record<string, string>> | undefined;
}

/** Gives a sentence for each thing that is wrong. */
export type Check<T extends Type> = (props: Props<T>, context: ResourceContext) => readonly string[];

/** A policy about single resources, whatever else there is. */
export interface ResourcePolicy {
  readonly kind: 'resource';
  readonly name: string;
  readonly description: string;
  readonly checks: { readonly [T in Type]?: Check<T> };
}

export interface StackResource {
  readonly type: string;
  readonly urn: string;
  readonly props: Readonly<Record<string, unknown>>;
  /** URNs of the resources that a property was made from. */
  readonly from: Readonly<Record<string, readonly string[]>>;
}

export interface Finding {
  readonly urn: string;
  readonly message: string;
}

/** A policy about what must be there beside something else. */
export interface StackPolicy {
  readonly kind: 'stack';
  readonly name: string;
  readonly description: string;
  readonly check: (resources: readonly StackResource[]) => readonly Finding[];
}

export type Policy = ResourcePolicy | StackPolicy;

export function resourcePolicy(name: string, description: string, checks: ResourcePolicy['checks']): ResourcePolicy {
  return { kind: 'resource', name, description, checks };
}

export function stackPolicy(name: string, description: string, check: StackPolicy['check']): StackPolicy {
  return { kind: 'stack', name, description, check };
}

/** The sentence where the condition does not hold. */
export function unless(condition: boolean, sentence: string): string[] {
  return condition ? [] : [sentence];
}

/** Stacks whose data is worth more than their end. */
export function isProduction(stack: string): boolean {
  return /^prod(?:uction)?(?:-|$)/.test(stack);
}

/** Pulumi's SDK throws when something is looked at that a preview does not know yet. */
export function knownOr<T>(otherwise: T, look: () => T): T {
  try {
    return look();
  } catch (error) {
    if ((error as Error).constructor.name === 'UnknownValueError') return otherwise;
    throw error;
  }
}
