import { type Grants, statements } from './iam.ts';
import { onlyByTls, policy, trust } from './policy.ts';

const NODE: Grants = {
  stack: 'dev',
  role: 'node',
  keyArn: 'arn:aws:kms:eu-central-1:123456789012:key/1234abcd',
  artifactsArn: 'arn:aws:s3:::artifacts',
  inGroup: false,
};
const ETCD: Grants = {
  ...NODE,
  role: 'etcd',
  snapshots: { bucketArn: 'arn:aws:s3:::snapshots', prefix: 'etcd' },
};

const sids = (grants: Grants) => statements(grants).map(({ Sid }) => Sid);

describe('statements()', () => {
  test.each([
    ['a node', NODE],
    ['a node of a group', { ...NODE, inGroup: true }],
    ['an etcd member', ETCD],
  ])('of %s are these', (_, grants) => {
    expect(statements(grants)).toMatchSnapshot();
  });

  test('have no wildcard for actions, and one for resources only where AWS has nothing narrower', () => {
    for (const grants of [{ ...NODE, inGroup: true }, ETCD]) {
      for (const { Sid, Action, Resource } of statements(grants)) {
        expect(Action.filter((action) => action.includes('*'))).toEqual([]);
        if (!['SessionManager', 'RunAssociations', 'SeeNodes'].includes(Sid)) expect(Resource).not.toContain('*');
      }
    }
  });

  test('give a role its own parameters and artifacts only', () => {
    const text = (grants: Grants) => JSON.stringify(statements(grants));
    expect(text(NODE)).toContain('parameter/flannel/dev/node/*');
    expect(text(NODE)).not.toContain('flannel/dev/etcd');
    expect(text(ETCD)).not.toContain('flannel/dev/node');
    expect(text(ETCD)).not.toContain('artifacts/node/');
  });

  test('bind every use of the key to what it is used for', () => {
    for (const grants of [NODE, ETCD]) {
      const uses = statements(grants).filter(({ Action }) => Action.some((action) => action.startsWith('kms:')));
      expect(uses.length).toBeGreaterThan(1);
      for (const { Condition } of uses) expect(JSON.stringify(Condition)).toContain('kms:EncryptionContext:');
    }
  });

  test('let a node change its machine only where nothing else can, in a group', () => {
    expect(sids(NODE)).not.toContain('SourceDestCheck');
    expect(sids({ ...NODE, inGroup: true })).toContain('SourceDestCheck');
    expect(sids({ ...ETCD, inGroup: true })).not.toContain('SourceDestCheck');
    expect(sids(NODE)).not.toContain('Lifecycle');
    expect(sids({ ...NODE, inGroup: true })).toContain('Lifecycle');
  });

  test('keep to the partition of the key', () => {
    const china = { ...NODE, keyArn: 'arn:aws-cn:kms:cn-north-1:123456789012:key/1234abcd', inGroup: true };
    expect(JSON.stringify(statements(china))).toContain(
      'arn:aws-cn:ssm:cn-north-1:123456789012:parameter/flannel/dev/node/*',
    );
    expect(JSON.stringify(statements(china))).toContain('arn:aws-cn:ec2:cn-north-1:123456789012:instance/*');
  });
});

describe('policy()', () => {
  test('writes what IAM reads', () => {
    expect(JSON.parse(policy([onlyByTls('arn:aws:s3:::b')]))).toEqual({
      Version: '2012-10-17',
      Statement: [
        {
          Sid: 'OnlyByTls',
          Effect: 'Deny',
          Principal: '*',
          Action: ['s3:*'],
          Resource: ['arn:aws:s3:::b', 'arn:aws:s3:::b/*'],
          Condition: { Bool: { 'aws:SecureTransport': 'false' } },
        },
      ],
    });
    expect(JSON.parse(trust('ec2.amazonaws.com')).Statement[0].Principal).toEqual({ Service: 'ec2.amazonaws.com' });
  });
});
