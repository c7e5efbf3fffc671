import { boundaryStatements, deployerStatements } from './deployer.ts';
import { flowLogStatements } from './flow-logs.ts';
import { statements } from './iam.ts';
import { policy, type Statement } from './policy.ts';
import { recordStack } from './testing/recorded.ts';

/** Of a managed policy, in characters (IAM and STS quotas). */
const MANAGED_POLICY_LIMIT = 6144;

/** With the wildcards of IAM. */
function matches(pattern: string, value: string): boolean {
  const escaped = pattern.replaceAll(/[.+^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*');
  return new RegExp(`^${escaped}$`).test(value);
}

function grants(all: readonly Statement[], action: string, resource: string): readonly Statement[] {
  return all.filter(
    ({ Action, Resource }) =>
      Action.some((each) => matches(each, action)) && Resource.some((each) => matches(each, resource)),
  );
}

describe('deployerStatements()', () => {
  test.each([
    ['tags of an association', 'ssm:AddTagsToResource', 'arn:aws:ssm:eu-central-1:123456789012:association/a-1'],
    ['reading them back', 'ssm:ListTagsForResource', 'arn:aws:ssm:eu-central-1:123456789012:association/a-1'],
    ['private DNS of an endpoint', 'route53:AssociateVPCWithHostedZone', 'arn:aws:route53:::hostedzone/*'],
    ['a check on a node', 'ssm:SendCommand', 'arn:aws:ssm:eu-central-1::document/AWS-RunShellScript'],
    ['its result', 'ssm:GetCommandInvocation', '*'],
  ])('allow %s', (_, action, resource) => {
    expect(grants(deployerStatements(), action, resource)).not.toEqual([]);
  });

  test('give permissions only to roles within the boundary, and cannot take it from them', () => {
    const role = 'arn:aws:iam::123456789012:role/flannel/node-1';
    for (const action of ['iam:CreateRole', 'iam:PutRolePolicy', 'iam:PutRolePermissionsBoundary']) {
      const found = grants(deployerStatements(), action, role);
      expect(found).not.toEqual([]);
      for (const { Condition } of found) expect(Condition?.ArnLike).toHaveProperty('iam:PermissionsBoundary');
    }
    for (const action of ['iam:AttachRolePolicy', 'iam:DeleteRolePermissionsBoundary', 'iam:CreatePolicyVersion']) {
      expect(grants(deployerStatements(), action, role)).toEqual([]);
    }
  });

  test.each([
    ['deployerStatements()', deployerStatements],
    ['boundaryStatements()', boundaryStatements],
  ])('%s fit into one managed policy', (_, all) => {
    expect(policy(all()).length).toBeLessThanOrEqual(MANAGED_POLICY_LIMIT);
  });
});

describe('boundaryStatements()', () => {
  const account = ':eu-central-1:123456789012:';
  const stack = {
    stack: 'prod',
    keyArn: `arn:aws:kms${account}key/1234abcd`,
    artifactsArn: 'arn:aws:s3:::flannel-artifacts-1234567',
    inGroup: true,
    waitedFor: true,
  };
  const snapshots = { bucketArn: 'arn:aws:s3:::flannel-backup-7654321', prefix: 'etcd' };

  test.each([
    ['a node', statements({ ...stack, role: 'node' })],
    ['an etcd member', statements({ ...stack, role: 'etcd', snapshots })],
    ['flow logs', flowLogStatements(`arn:aws:logs${account}log-group:network-flow-logs-1234567`)],
  ])('leave %s all of its permissions', (_, all) => {
    const missing = all.flatMap(({ Action, Resource }) =>
      Action.flatMap((action) =>
        Resource.filter((resource) => grants(boundaryStatements(), action, resource).length === 0).map(
          (resource) => `${action} of ${resource}`,
        ),
      ),
    );
    expect(missing).toEqual([]);
  });

  test('hold no right to give rights, and none over other machines', () => {
    const actions = boundaryStatements().flatMap(({ Action }) => Action);
    expect(actions.filter((action) => /^iam:|\*|SendCommand|StartSession/.test(action))).toEqual([]);
  });
});

test('every role of a stack is created with its setting permissionsBoundary', async () => {
  const permissionsBoundary = 'arn:aws:iam::123456789012:policy/flannel-boundary';
  const { resources } = await recordStack('prod', { permissionsBoundary });
  const roles = resources.filter(({ type }) => type === 'aws:iam/role:Role');
  expect(roles).toHaveLength(3);
  for (const { inputs } of roles) expect(inputs).toMatchObject({ permissionsBoundary });
});
