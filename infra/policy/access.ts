/** Who may do what, and whose everything is. */
import { type Check, type ResourceContext, resourcePolicy, type Type, unless } from './rule.ts';

interface Statement {
  readonly Effect?: string;
  readonly Action?: string | readonly string[];
  readonly NotAction?: unknown;
  readonly NotResource?: unknown;
}

/** Wide statements of a policy document, which may be an object or its JSON. */
function wideGrants(document: unknown): string[] {
  const { Statement: statements = [] } = (typeof document === 'string' ? JSON.parse(document) : document) as {
    Statement?: Statement | Statement[];
  };
  return [statements].flat().flatMap(({ Effect, Action = [], NotAction, NotResource }) => {
    if (Effect !== 'Allow') return [];
    const wide = [Action].flat().filter((action) => /^(?:\*|[\w-]+:\*)$/.test(action));
    return [
      ...wide.map((action) => `Allows ${action}: name the actions`),
      ...unless(
        NotAction === undefined && NotResource === undefined,
        'Allows everything but what it names: name what it allows',
      ),
    ];
  });
}

export const leastPrivilege = resourcePolicy('least-privilege', 'Policies of IAM name the actions that they allow.', {
  'aws:iam/policy:Policy': ({ policy }) => wideGrants(policy),
  'aws:iam/rolePolicy:RolePolicy': ({ policy }) => wideGrants(policy),
  'aws:iam/role:Role': ({ inlinePolicies = [], managedPolicyArns = [] }) => [
    ...inlinePolicies.flatMap(({ policy }) => (policy === undefined ? [] : wideGrants(policy))),
    ...managedPolicyArns
      .filter((arn) => /\/(?:AdministratorAccess|PowerUserAccess|\w*FullAccess)$/.test(arn))
      .map((arn) => `Has ${arn}: name the actions in a policy of its own`),
  ],
});

const TAG = 'flannel:stack';

/** What a preview does not know is looked at when it is made. */
const tagged: Check<Type> = (_: unknown, { tags, project, stack }: ResourceContext) =>
  unless(
    tags === undefined || tags[TAG] === `${project}/${stack}`,
    `Has no tag ${TAG} with its project and stack: who cleans up finds it by that (the provider's default tags are the place)`,
  );

export const taggedResources = resourcePolicy(
  'tagged-resources',
  'What costs money or grants something says to which stack it belongs.',
  {
    'aws:ebs/volume:Volume': tagged,
    'aws:ec2/eip:Eip': tagged,
    'aws:ec2/instance:Instance': tagged,
    'aws:ec2/launchTemplate:LaunchTemplate': tagged,
    'aws:ec2/networkInterface:NetworkInterface': tagged,
    'aws:ec2/securityGroup:SecurityGroup': tagged,
    'aws:ec2/subnet:Subnet': tagged,
    'aws:ec2/vpc:Vpc': tagged,
    'aws:iam/role:Role': tagged,
    'aws:kms/key:Key': tagged,
    'aws:s3/bucket:Bucket': tagged,
    'aws:ssm/parameter:Parameter': tagged,
  },
);
