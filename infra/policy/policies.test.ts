import { gzipSync } from 'node:zlib';
import { POLICIES } from './pack.ts';
import type { ResourceContext, StackResource, Type } from './rule.ts';

const DEV: ResourceContext = {
  stack: 'dev',
  project: 'flannel',
  protect: false,
  tags: { 'flannel:stack': 'flannel/dev' },
};
const PROD: ResourceContext = {
  stack: 'prod',
  project: 'flannel',
  protect: true,
  tags: { 'flannel:stack': 'flannel/prod', 'flannel:role': 'etcd' },
};

const SESSIONS = { httpTokens: 'required', httpPutResponseHopLimit: 1 };
const base64 = (text: string) => Buffer.from(text).toString('base64');
const document = (statement: object) => JSON.stringify({ Version: '2012-10-17', Statement: [statement] });
const launched = (tags: object) =>
  ['instance', 'volume', 'network-interface'].map((resourceType) => ({ resourceType, tags }));
const PEM = ['-----BEGIN EC', 'PRIVATE KEY-----'].join(' ');

interface Example {
  readonly type: Type;
  /** Missing where no such resource is allowed at all. */
  readonly good?: object;
  readonly bad: object;
  /** Part of what is said of the bad one. */
  readonly says: string;
  readonly around?: ResourceContext;
  /** Where not the properties make the difference. */
  readonly badAround?: ResourceContext;
}

const INGRESS = 'aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule';
const EGRESS = 'aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule';
const GROUP = 'aws:ec2/securityGroup:SecurityGroup';
const DEFAULT_GROUP = 'aws:ec2/defaultSecurityGroup:DefaultSecurityGroup';
const INSTANCE = 'aws:ec2/instance:Instance';
const TEMPLATE = 'aws:ec2/launchTemplate:LaunchTemplate';
const VOLUME = 'aws:ebs/volume:Volume';

const REASON = { description: 'etcd members replicate' };
const WORLD = { cidrIpv4: '0.0.0.0/0' };
const https = { ipProtocol: 'tcp', fromPort: 443, toPort: 443 };
const rule = { type: 'ingress', protocol: 'tcp', fromPort: 1, toPort: 1 };
const rotated = { enableKeyRotation: true };

/** By the policy's name. */
const EXAMPLES: Readonly<Record<string, readonly Example[]>> = {
  'no-public-ingress': [
    { type: INGRESS, good: { cidrIpv4: '10.64.0.0/19' }, bad: WORLD, says: 'Lets in 0.0.0.0/0' },
    { type: INGRESS, good: { cidrIpv4: '172.16.0.0/12' }, bad: { cidrIpv4: '172.0.0.0/8' }, says: '172.0.0.0/8' },
    { type: INGRESS, good: { cidrIpv6: 'fd00::/8' }, bad: { cidrIpv6: '::/0' }, says: 'Lets in ::/0' },
    { type: INGRESS, good: { referencedSecurityGroupId: 'sg-1' }, bad: { cidrIpv4: '8.8.8.8/32' }, says: '8.8.8.8/32' },
  ],
  'reasoned-egress': [
    {
      type: EGRESS,
      good: { ...https, ...WORLD },
      bad: { ...WORLD, ipProtocol: '-1' },
      says: 'Lets more than HTTPS out',
    },
    {
      type: EGRESS,
      good: { ...https, prefixListId: 'pl-1' },
      bad: { ...https, ...WORLD, toPort: 444 },
      says: '0.0.0.0/0',
    },
    {
      type: EGRESS,
      good: { ...WORLD, ipProtocol: '-1' },
      bad: { ...WORLD, ipProtocol: '-1' },
      says: 'Lets more than HTTPS out',
      around: { ...DEV, tags: { 'flannel:role': 'node' } },
      badAround: { ...DEV, tags: { 'flannel:role': 'etcd' } },
    },
  ],
  'described-rules': [
    { type: INGRESS, good: REASON, bad: {}, says: 'Has no reason' },
    { type: EGRESS, good: REASON, bad: { description: 'etcd' }, says: 'Has no reason' },
    { type: GROUP, good: { description: 'Nodes' }, bad: {}, says: 'Has no "description"' },
    {
      type: GROUP,
      good: { description: 'Nodes' },
      bad: { description: 'Managed by Pulumi' },
      says: 'Has no "description"',
    },
  ],
  'rules-as-resources': [
    { type: GROUP, good: {}, bad: { ingress: [{}] }, says: 'Has rules of its own' },
    { type: DEFAULT_GROUP, good: { ingress: [], egress: [] }, bad: { egress: [{}] }, says: 'Has rules of its own' },
    { type: 'aws:ec2/securityGroupRule:SecurityGroupRule', bad: rule, says: 'Is of the old kind' },
  ],
  'no-ssh': [
    { type: INGRESS, good: https, bad: { ipProtocol: 'tcp', fromPort: 22, toPort: 22 }, says: 'Opens port 22' },
    { type: INGRESS, good: { ipProtocol: '-1' }, bad: { ipProtocol: '6', fromPort: 0, toPort: 1023 }, says: 'port 22' },
    { type: INSTANCE, good: {}, bad: { keyName: 'mine' }, says: 'Has the key pair mine' },
    { type: TEMPLATE, good: {}, bad: { keyName: 'mine' }, says: 'Has the key pair mine' },
    { type: 'aws:ec2/keyPair:KeyPair', bad: { publicKey: 'ssh-ed25519' }, says: 'Is a key pair' },
  ],
  'no-public-addresses': [
    { type: INSTANCE, good: {}, bad: { associatePublicIpAddress: true }, says: 'Has a public address' },
    {
      type: TEMPLATE,
      good: { networkInterfaces: [{}] },
      bad: { networkInterfaces: [{ associatePublicIpAddress: 'true' }] },
      says: 'Gives machines public addresses',
    },
    {
      type: 'aws:ec2/subnet:Subnet',
      good: { mapPublicIpOnLaunch: false },
      bad: { mapPublicIpOnLaunch: true },
      says: 'Gives every machine',
    },
  ],
  'imds-v2': [
    { type: INSTANCE, good: { metadataOptions: SESSIONS }, bad: {}, says: 'without a session' },
    {
      type: TEMPLATE,
      good: { metadataOptions: { httpEndpoint: 'disabled' } },
      bad: { metadataOptions: { ...SESSIONS, httpTokens: 'optional' } },
      says: 'without a session',
    },
    {
      type: TEMPLATE,
      good: { metadataOptions: SESSIONS },
      bad: { metadataOptions: { ...SESSIONS, httpPutResponseHopLimit: 2 } },
      says: 'Lets pods get its credentials',
    },
  ],
  'plain-user-data': [
    {
      type: TEMPLATE,
      good: { userData: base64(`#cloud-config\n${'x'.repeat(16_000)}`) },
      bad: { userData: base64('x'.repeat(16_385)) },
      says: 'user-data of 16385 bytes',
    },
    {
      type: INSTANCE,
      good: { userDataBase64: base64('password=$(aws ssm get-parameter --name /flannel/dev/password)') },
      bad: { userDataBase64: base64('password: hunter2') },
      says: 'Has a password',
    },
    {
      type: INSTANCE,
      good: { userDataBase64: gzipSync('x'.repeat(20_000)).toString('base64') },
      bad: { userDataBase64: gzipSync(PEM).toString('base64') },
      says: 'Has a private key',
    },
    { type: INSTANCE, good: { userData: 'token="$token"' }, bad: { userData: PEM }, says: 'Has a private key' },
    {
      type: INSTANCE,
      good: {},
      bad: { userData: `AWS_ACCESS_KEY_ID=${'AKIA'}${'Q'.repeat(16)}` },
      says: 'Has an access key of AWS',
    },
  ],
  'tagged-launches': [
    {
      type: TEMPLATE,
      good: { tagSpecifications: launched({ 'flannel:stack': 'dev', 'flannel:role': 'node' }) },
      bad: { tagSpecifications: launched({ 'flannel:stack': 'dev', 'flannel:role': 'node' }).slice(1) },
      says: 'things of kind instance',
    },
    {
      type: TEMPLATE,
      good: { tagSpecifications: launched({ 'flannel:stack': 'dev', 'flannel:role': 'node' }) },
      bad: { tagSpecifications: launched({ 'flannel:stack': 'dev' }) },
      says: 'things of kind volume',
    },
  ],
  'encrypted-volumes': [
    { type: VOLUME, good: { encrypted: true }, bad: {}, says: 'Is not encrypted' },
    { type: INSTANCE, good: { rootBlockDevice: { encrypted: true } }, bad: {}, says: 'a root that is not encrypted' },
    {
      type: INSTANCE,
      good: { rootBlockDevice: { encrypted: true }, ebsBlockDevices: [{ deviceName: '/dev/sdb', encrypted: true }] },
      bad: { rootBlockDevice: { encrypted: true }, ebsBlockDevices: [{ deviceName: '/dev/sdb' }] },
      says: 'a volume at /dev/sdb',
    },
    {
      type: TEMPLATE,
      good: { blockDeviceMappings: [{ deviceName: '/dev/xvda', ebs: { encrypted: 'true' } }] },
      bad: { blockDeviceMappings: [{ deviceName: '/dev/xvda', ebs: {} }] },
      says: 'a volume at /dev/xvda',
    },
    {
      type: TEMPLATE,
      good: { blockDeviceMappings: [{ deviceName: '/dev/xvda', ebs: { encrypted: 'true' } }] },
      bad: {},
      says: "Takes the image's root as it is",
    },
  ],
  'patient-keys': [
    {
      type: 'aws:kms/key:Key',
      good: { ...rotated, deletionWindowInDays: 7 },
      bad: { ...rotated },
      says: 'set deletionWindowInDays to 7',
    },
    {
      type: 'aws:kms/key:Key',
      good: { ...rotated, deletionWindowInDays: 30 },
      bad: { ...rotated, deletionWindowInDays: 29 },
      says: 'set deletionWindowInDays to 30',
      around: PROD,
    },
    {
      type: 'aws:kms/key:Key',
      good: { ...rotated, deletionWindowInDays: 7 },
      bad: { deletionWindowInDays: 7 },
      says: 'never rotated',
    },
  ],
  'protected-data': [
    ...([VOLUME, 'aws:kms/key:Key', 'aws:s3/bucket:Bucket'] as const).map((type) => ({
      type,
      good: {},
      bad: {},
      says: 'set "protect"',
      around: PROD,
      badAround: { ...PROD, protect: false },
    })),
    { type: 'aws:s3/bucket:Bucket', good: {}, bad: { forceDestroy: true }, says: 'no forceDestroy', around: PROD },
  ],
  'secure-parameters': [
    {
      type: 'aws:ssm/parameter:Parameter',
      good: { type: 'SecureString', keyId: 'arn:aws:kms:::key/1', value: PEM },
      bad: { type: 'SecureString', value: PEM },
      says: 'set keyId',
    },
    {
      type: 'aws:ssm/parameter:Parameter',
      good: { type: 'String', insecureValue: 'a certificate' },
      bad: { type: 'String', insecureValue: PEM },
      says: 'Holds a private key in clear',
    },
  ],
  'least-privilege': [
    {
      type: 'aws:iam/rolePolicy:RolePolicy',
      good: { policy: document({ Effect: 'Allow', Action: ['s3:GetObject'], Resource: '*' }) },
      bad: { policy: document({ Effect: 'Allow', Action: ['s3:GetObject', 's3:*'], Resource: 'x' }) },
      says: 'Allows s3:*',
    },
    {
      type: 'aws:iam/policy:Policy',
      good: { policy: document({ Effect: 'Deny', Action: '*', Resource: '*' }) },
      bad: { policy: document({ Effect: 'Allow', Action: '*', Resource: '*' }) },
      says: 'Allows *',
    },
    {
      type: 'aws:iam/policy:Policy',
      good: { policy: document({ Effect: 'Deny', NotAction: 'iam:*', Resource: '*' }) },
      bad: { policy: document({ Effect: 'Allow', NotAction: 'iam:*', Resource: '*' }) },
      says: 'Allows everything but what it names',
    },
    {
      type: 'aws:iam/role:Role',
      good: { managedPolicyArns: ['arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore'] },
      bad: { managedPolicyArns: ['arn:aws:iam::aws:policy/AdministratorAccess'] },
      says: 'AdministratorAccess',
    },
  ],
  'tagged-resources': [
    {
      type: 'aws:ec2/vpc:Vpc',
      good: {},
      bad: {},
      says: 'Has no tag flannel:stack',
      badAround: { ...DEV, tags: { 'flannel:stack': 'another/dev' } },
    },
    { type: INSTANCE, good: {}, bad: {}, says: 'Has no tag flannel:stack', badAround: { ...DEV, tags: {} } },
    // A preview that does not know the tags yet says nothing of them.
    {
      type: VOLUME,
      good: {},
      bad: {},
      says: 'Has no tag',
      around: { ...DEV, tags: undefined },
      badAround: { ...DEV, tags: {} },
    },
  ],
};

const resourcePolicies = POLICIES.filter((policy) => policy.kind === 'resource');
const stackPolicies = POLICIES.filter((policy) => policy.kind === 'stack');

test('the policies are these', () => {
  expect(POLICIES.map(({ kind, name, description }) => `${name} (${kind}): ${description}`)).toMatchSnapshot();
});

describe.each(resourcePolicies)('$name', ({ name, checks }) => {
  const examples = EXAMPLES[name] ?? [];
  const check = (type: Type, props: object, around: ResourceContext) => checks[type]!(props as never, around);

  test('has an example that fails', () => {
    expect(examples.length).toBeGreaterThan(0);
    const types = new Set(examples.map(({ type }) => type));
    // One check for many types needs no example for each.
    const different = new Set(Object.values(checks));
    expect(types.size).toBeGreaterThanOrEqual(Math.min(different.size, Object.keys(checks).length));
  });

  test.each(examples)('refuses a $type that "$says", and lets the good one pass', (example) => {
    const { type, good, bad, says, around = DEV, badAround = around } = example;
    if (good !== undefined) expect(check(type, good, around)).toEqual([]);
    const found = check(type, bad, badAround);
    expect(found.join('\n')).toContain(says);
  });
});

const BUCKET: StackResource = { type: 'aws:s3/bucket:Bucket', urn: 'urn:bucket', props: {}, from: {} };
const ALL_BLOCKED = {
  blockPublicAcls: true,
  blockPublicPolicy: true,
  ignorePublicAcls: true,
  restrictPublicBuckets: true,
};
const ONLY_TLS = {
  Effect: 'Deny',
  Principal: '*',
  Action: 's3:*',
  Resource: '*',
  Condition: { Bool: { 'aws:SecureTransport': 'false' } },
};

/** Type of the guard, what it must be like, and what does not do. */
const GUARDS: Readonly<Record<string, readonly [string, object, object]>> = {
  'private-buckets': [
    'aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock',
    ALL_BLOCKED,
    { ...ALL_BLOCKED, ignorePublicAcls: false },
  ],
  'versioned-buckets': [
    'aws:s3/bucketVersioning:BucketVersioning',
    { versioningConfiguration: { status: 'Enabled' } },
    { versioningConfiguration: { status: 'Suspended' } },
  ],
  'buckets-by-tls': [
    'aws:s3/bucketPolicy:BucketPolicy',
    { policy: document(ONLY_TLS) },
    { policy: document({ ...ONLY_TLS, Effect: 'Allow' }) },
  ],
};

describe.each(stackPolicies)('$name', ({ name, check }) => {
  const [type, good, bad] = GUARDS[name]!;
  const guard = (props: object, bucket = BUCKET.urn): StackResource => ({
    type,
    urn: 'urn:guard',
    props: { ...props },
    from: { bucket: [bucket] },
  });

  test('is content with a bucket that has its guard, and with none at all', () => {
    expect(check([BUCKET, guard(good)])).toEqual([]);
    expect(check([])).toEqual([]);
  });

  test.each([
    ['without the guard', [BUCKET]],
    ['with a guard that does not do', [BUCKET, guard(bad)]],
    ["with another bucket's guard", [BUCKET, guard(good, 'urn:other')]],
  ])('refuses a bucket %s', (_, resources) => {
    expect(check(resources).map(({ urn }) => urn)).toEqual([BUCKET.urn]);
  });
});
