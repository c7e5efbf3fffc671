/** What the double refuses, each shown by an example, and what it lets pass. */
import { Cloud, type Context } from './cloud.ts';
import { invoke } from './functions.ts';
import { ACCESS } from './kinds/access.ts';
import { describeGroup, describeRefreshes, GROUPS } from './kinds/groups.ts';
import { MACHINES } from './kinds/machines.ts';
import { NETWORK } from './kinds/network.ts';
import { SECURITY } from './kinds/security.ts';
import { STORAGE } from './kinds/storage.ts';
import { Provider } from './provider.ts';
import { Schema } from './schema.ts';
import { type Bag, Secret, UNKNOWN } from './values.ts';

const SEED = new Uint8Array([1]);
const VPC = 'aws:ec2/vpc:Vpc';
const SUBNET = 'aws:ec2/subnet:Subnet';
const GROUP = 'aws:ec2/securityGroup:SecurityGroup';
const INGRESS = 'aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule';
const TEMPLATE = 'aws:ec2/launchTemplate:LaunchTemplate';
const INSTANCE = 'aws:ec2/instance:Instance';
const VOLUME = 'aws:ebs/volume:Volume';
const BUCKET = 'aws:s3/bucket:Bucket';
const ROLE = 'aws:iam/role:Role';
const PARAMETER = 'aws:ssm/parameter:Parameter';
const ASG = 'aws:autoscaling/group:Group';

const schema = new Schema('@pulumi/aws');
const kinds = [...NETWORK, ...SECURITY, ...MACHINES, ...GROUPS, ...ACCESS, ...STORAGE];
let provider: Provider;
let cloud: Cloud;

beforeEach(() => {
  cloud = new Cloud();
  provider = new Provider(schema, kinds);
});

function context(name: string): Context {
  return { cloud, region: 'eu-central-1', defaultTags: {}, name };
}

/** Check and create, as the CLI asks for them; gives the id. */
async function make(type: string, inputs: Bag, name = 'x'): Promise<string> {
  const { inputs: checked, problems } = provider.check(type, {}, inputs, SEED, name);
  if (problems.length > 0) throw new Error(problems.map(({ property, reason }) => `${property} ${reason}`).join('\n'));
  return (await provider.create(type, `urn:pulumi:s::p::${type}::${name}`, checked, context(name))).id;
}

async function network(): Promise<{ readonly vpcId: string; readonly subnetId: string; readonly group: string }> {
  const vpcId = await make(VPC, { cidrBlock: '10.64.0.0/19' });
  const subnetId = await make(SUBNET, { vpcId, cidrBlock: '10.64.0.0/24', availabilityZone: 'eu-central-1a' });
  return { vpcId, subnetId, group: await make(GROUP, { vpcId, description: 'Machines' }) };
}

test.each([...kinds.map(({ type }) => type)])('%s is in the SDK', (type) => {
  expect(schema.resource(type)).toBeDefined();
});

describe('the schema', () => {
  test.each<[string, string, Bag, string]>([
    ['a property that is not there', VPC, { cidr: '10.0.0.0/16' }, 'cidr is no property'],
    ['a wrong type', VPC, { enableDnsSupport: 'yes' }, 'enableDnsSupport has to be a boolean, and is the string "yes"'],
    ['a missing property', SUBNET, { cidrBlock: '10.0.0.0/24' }, 'vpcId is required'],
    ['a wrong element', TEMPLATE, { vpcSecurityGroupIds: [5] }, 'vpcSecurityGroupIds[0] has to be a string'],
    [
      'a nested property that is not there',
      TEMPLATE,
      { metadataOptions: { tokens: 'x' } },
      'metadataOptions.tokens is no',
    ],
    [
      'a wrong type in a list of objects',
      TEMPLATE,
      { blockDeviceMappings: [{ ebs: { volumeSize: '8' } }] },
      'blockDeviceMappings[0].ebs.volumeSize has to be a number',
    ],
    ['a resource that is not there', 'aws:ec2/cloud:Cloud', {}, 'is no resource of the SDK'],
  ])('refuses %s', async (_, type, inputs, message) => {
    await expect(make(type, inputs)).rejects.toThrow(message);
  });

  test('takes what is secret or not known yet', () => {
    const inputs = { vpcId: UNKNOWN, cidrBlock: new Secret('10.64.0.0/24') };
    expect(provider.check(SUBNET, {}, inputs, SEED, 'x').problems).toEqual([]);
  });
});

describe('the network', () => {
  test.each<[string, string, string]>([
    ['10.64.16.0/24', '10.64.16.0/25', 'InvalidSubnet.Conflict'],
    ['10.64.0.0/24', '10.65.0.0/24', 'InvalidSubnet.Range'],
    ['10.64.0.0/24', '10.64.1.0/29', 'InvalidSubnet.Range'],
  ])('refuses %s and %s in 10.64.0.0/19', async (first, second, code) => {
    const vpcId = await make(VPC, { cidrBlock: '10.64.0.0/19' });
    await make(SUBNET, { vpcId, cidrBlock: first });
    await expect(make(SUBNET, { vpcId, cidrBlock: second })).rejects.toThrow(code);
  });

  test.each(['10.0.0.0/15', '10.0.0.0/29', 'ten'])('refuses the VPC %s', async (cidrBlock) => {
    await expect(make(VPC, { cidrBlock })).rejects.toThrow(/InvalidVpc.Range|InvalidParameterValue/);
  });

  test('refuses what names a VPC, a subnet or a gateway that is not there', async () => {
    const missing = '0123456789abcdef0';
    await expect(make(SUBNET, { vpcId: `vpc-${missing}`, cidrBlock: '10.64.0.0/24' })).rejects.toThrow('NotFound');
    await expect(make('aws:ec2/natGateway:NatGateway', { subnetId: `subnet-${missing}` })).rejects.toThrow('NotFound');
  });

  test('refuses to delete what is in use', async () => {
    const { vpcId, subnetId, group } = await network();
    expect(() => provider.delete(VPC, vpcId, context('x'))).toThrow('DependencyViolation');
    await make('aws:ec2/networkInterface:NetworkInterface', { subnetId, securityGroups: [group] });
    expect(() => provider.delete(SUBNET, subnetId, context('x'))).toThrow('DependencyViolation');
    expect(() => provider.delete(GROUP, group, context('x'))).toThrow('DependencyViolation');
  });

  test('refuses addresses of an interface that AWS keeps, that are taken or outside', async () => {
    const { subnetId } = await network();
    const type = 'aws:ec2/networkInterface:NetworkInterface';
    await make(type, { subnetId, privateIps: ['10.64.0.10'] });
    await expect(make(type, { subnetId, privateIps: ['10.64.0.10'] })).rejects.toThrow('InvalidIPAddress.InUse');
    await expect(make(type, { subnetId, privateIps: ['10.64.0.3'] })).rejects.toThrow('reserved');
    await expect(make(type, { subnetId, privateIps: ['10.64.1.10'] })).rejects.toThrow('does not fall within');
  });
});

describe('security groups', () => {
  test.each(['Nodes – all', 'what "they" say', 'a > b', 'x'.repeat(256)])(
    'refuse the description %s',
    async (description) => {
      const { vpcId } = await network();
      await expect(make(GROUP, { vpcId, description })).rejects.toThrow('description');
    },
  );

  test.each<[string, Bag, string]>([
    [
      'two sources',
      { ipProtocol: 'tcp', fromPort: 1, toPort: 1, cidrIpv4: '10.0.0.0/8', cidrIpv6: '::/0' },
      'one source',
    ],
    ['host bits', { ipProtocol: 'tcp', fromPort: 1, toPort: 1, cidrIpv4: '10.0.0.1/8' }, 'malformed'],
    ['a wrong range', { ipProtocol: 'udp', fromPort: 2, toPort: 1, cidrIpv4: '10.0.0.0/8' }, 'Invalid port range 2-1'],
    ['an unknown protocol', { ipProtocol: 'vxlan', cidrIpv4: '10.0.0.0/8' }, "Invalid value 'vxlan'"],
    ['ports for all', { ipProtocol: '-1', fromPort: 1, toPort: 1, cidrIpv4: '10.0.0.0/8' }, 'You may not specify'],
    ['no group', { ipProtocol: '-1', referencedSecurityGroupId: 'sg-0123456789abcdef0' }, 'InvalidGroup.NotFound'],
  ])('refuse a rule with %s', async (_, rule, message) => {
    const { group } = await network();
    await expect(make(INGRESS, { securityGroupId: group, ...rule })).rejects.toThrow(message);
  });

  test('refuse a rule twice, and their end while another group names them', async () => {
    const { vpcId, group } = await network();
    const other = await make(GROUP, { vpcId, description: 'Others' }, 'other');
    const rule = { securityGroupId: group, ipProtocol: '-1', referencedSecurityGroupId: other };
    await make(INGRESS, rule);
    await expect(make(INGRESS, rule)).rejects.toThrow('InvalidPermission.Duplicate');
    expect(() => provider.delete(GROUP, other, context('x'))).toThrow('DependencyViolation');
  });
});

describe('machines', () => {
  const arm = 'ami-0a64a64a64a64a640';
  const base64 = (bytes: number): string => Buffer.alloc(bytes, 'x').toString('base64');

  test.each<[string, Bag, string]>([
    ['an unknown type', { instanceType: 't9.huge' }, "Invalid value 't9.huge'"],
    ['a type of another architecture', { instanceType: 'm7i.large', imageId: arm }, 'does not match the architecture'],
    ['an unknown image', { instanceType: 't4g.small', imageId: 'ami-0123456789abcdef0' }, 'InvalidAMIID.NotFound'],
    ['too much user data', { userData: base64(16_385) }, 'limited to 16384 bytes'],
    ['user data that is not encoded', { userData: '#!/bin/sh' }, 'Invalid BASE64'],
    ['a missing profile', { iamInstanceProfile: { name: 'nobody' } }, "'nobody' does not exist"],
  ])('are not made of a template with %s', async (_, inputs, message) => {
    await expect(make(TEMPLATE, inputs)).rejects.toThrow(message);
  });

  test('are made of a template with 16 KB of user data', async () => {
    const id = await make(TEMPLATE, { instanceType: 't4g.small', imageId: arm, userData: base64(16_384) });
    expect(cloud.get(TEMPLATE, id)?.outputs).toMatchObject({ latestVersion: 1, defaultVersion: 1 });
  });

  test('keep a volume from being deleted, attached twice, or attached in another zone', async () => {
    const { subnetId } = await network();
    const ami = { ami: arm, instanceType: 't4g.small', subnetId };
    const [one, two] = [await make(INSTANCE, ami), await make(INSTANCE, ami)];
    const volumeId = await make(VOLUME, { availabilityZone: 'eu-central-1a', size: 8 });
    const far = await make(VOLUME, { availabilityZone: 'eu-central-1b', size: 8 });
    const type = 'aws:ec2/volumeAttachment:VolumeAttachment';
    await make(type, { volumeId, instanceId: one, deviceName: '/dev/sdf' });
    expect(() => provider.delete(VOLUME, volumeId, context('x'))).toThrow('VolumeInUse');
    await expect(make(type, { volumeId, instanceId: two, deviceName: '/dev/sdf' })).rejects.toThrow('VolumeInUse');
    await expect(make(type, { volumeId: far, instanceId: one, deviceName: '/dev/sdg' })).rejects.toThrow(
      'ZoneMismatch',
    );
  });

  test('of a group roll when their template changes, and keep its subnet in use', async () => {
    const { subnetId } = await network();
    const template = { name: 'nodes', instanceType: 't4g.small', imageId: arm, updateDefaultVersion: true };
    const id = await make(TEMPLATE, template);
    const asg = (version: string): Bag => ({
      name: 'nodes',
      minSize: 2,
      maxSize: 3,
      vpcZoneIdentifiers: [subnetId],
      launchTemplate: { id, version },
      instanceRefresh: { strategy: 'Rolling' },
    });
    await make(ASG, asg('1'));
    const before = [...cloud.machines.keys()];
    expect(before).toHaveLength(2);
    expect(() => provider.delete(SUBNET, subnetId, context('x'))).toThrow('DependencyViolation');
    await provider.update(TEMPLATE, id, { ...template, instanceType: 't4g.large' }, context('x'));
    await provider.update(ASG, 'nodes', asg('2'), context('x'));
    const versions = () => [...cloud.machines.values()].map((machine) => machine.launchTemplateVersion);
    const refresh = () => describeRefreshes(cloud, 'nodes')[0];
    expect([versions(), refresh()]).toEqual([['1', '1'], { Status: 'InProgress', StatusReason: '' }]);
    describeGroup(cloud, 'nodes');
    expect(versions()).toEqual(['1', '2']); // one after the other, while somebody asks
    for (let i = 0; i < 5; i++) describeGroup(cloud, 'nodes');
    expect([versions(), refresh()]).toEqual([['2', '2'], { Status: 'Successful', StatusReason: '' }]);
    expect([...cloud.machines.keys()].filter((each) => before.includes(each))).toEqual([]);
    provider.delete(ASG, 'nodes', context('x'));
    provider.delete(SUBNET, subnetId, context('x'));
  });
});

describe('storage and access', () => {
  test.each<[string, string, Bag, string]>([
    ['a bucket', BUCKET, { bucket: 'Flannel_Artifacts' }, 'is no name for a bucket'],
    ['a parameter without a value', PARAMETER, { name: '/a', type: 'SecureString', value: '' }, '1 to 4096 bytes'],
    [
      'a parameter that is too long',
      PARAMETER,
      { name: '/a', type: 'String', value: 'x'.repeat(4097) },
      '1 to 4096 bytes',
    ],
    ['a parameter by such a name', PARAMETER, { name: 'a/b', type: 'String', value: 'x' }, 'Parameter name'],
    [
      'a role that trusts nobody',
      ROLE,
      { assumeRolePolicy: '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole"}]}' },
      'Principal',
    ],
    ['a role without JSON', ROLE, { assumeRolePolicy: 'allow all' }, 'invalid JSON policy'],
  ])('refuse %s', async (_, type, inputs, message) => {
    await expect(make(type, inputs)).rejects.toThrow(message);
  });

  test.each([false, true])('a bucket with an object in it, forceDestroy %s', async (forceDestroy) => {
    await make(BUCKET, { bucket: 'artifacts', forceDestroy });
    await make('aws:s3/bucketObjectv2:BucketObjectv2', { bucket: 'artifacts', key: 'a', content: 'x' });
    const remove = (): void => provider.delete(BUCKET, 'artifacts', context('x'));
    if (forceDestroy) expect(remove).not.toThrow();
    else expect(remove).toThrow('BucketNotEmpty');
  });

  test('a role is there as long as a profile or a policy holds it', async () => {
    const args = {
      statements: [
        { actions: ['sts:AssumeRole'], principals: [{ type: 'Service', identifiers: ['ec2.amazonaws.com'] }] },
      ],
    };
    const document = invoke('aws:iam/getPolicyDocument:getPolicyDocument', args, { cloud, region: '' });
    const role = await make(ROLE, { name: 'node', assumeRolePolicy: document.json! });
    await make('aws:iam/instanceProfile:InstanceProfile', { name: 'node', role });
    expect(() => provider.delete(ROLE, role, context('x'))).toThrow('DeleteConflict');
  });
});

test('a key or a role that is named by its ARN has to be there', async () => {
  const kmsKeyId = 'arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000';
  const volume = { availabilityZone: 'eu-central-1a', size: 8, encrypted: true };
  await expect(make(VOLUME, { ...volume, kmsKeyId })).rejects.toThrow('does not exist');
  const key = await make('aws:kms/key:Key', { deletionWindowInDays: 7 });
  await make(VOLUME, { ...volume, kmsKeyId: cloud.get('aws:kms/key:Key', key)!.outputs.arn! });
});

describe('a difference', () => {
  test('replaces what cannot change, and updates the rest', () => {
    const old = { vpcId: 'vpc-1', cidrBlock: '10.64.0.0/24', tags: { Name: 'a' } };
    expect(provider.diff(SUBNET, old, { ...old, tags: { Name: 'b' } })).toMatchObject({
      changed: ['tags'],
      replaces: [],
    });
    expect(provider.diff(SUBNET, old, { ...old, cidrBlock: '10.64.1.0/24' }).replaces).toEqual(['cidrBlock']);
    expect(provider.diff(SUBNET, old, { ...old, vpcId: UNKNOWN }).replaces).toEqual(['vpcId']);
    expect(provider.diff(SUBNET, old, { ...old }).changed).toEqual([]);
  });

  test('of default tags updates what has tags', () => {
    const old = { cidrBlock: '10.64.0.0/19', tags: { Name: 'net' } };
    const outputs = { ...old, tagsAll: { Name: 'net', owner: 'a' } };
    expect(provider.diff(VPC, old, old, outputs, { owner: 'a' }).changed).toEqual([]);
    expect(provider.diff(VPC, old, old, outputs, { owner: 'b' })).toMatchObject({ changed: ['tagsAll'], replaces: [] });
  });

  test('in user data replaces an instance only if told so', () => {
    const old = { instanceType: 't4g.small', userData: 'a' };
    expect(provider.diff(INSTANCE, old, { ...old, userData: 'b' }).replaces).toEqual([]);
    const told = { ...old, userDataReplaceOnChange: true };
    expect(provider.diff(INSTANCE, told, { ...told, userData: 'b' }).replaces).toEqual(['userData']);
  });

  test('deletes first where a name of its own would be there twice', () => {
    const fixed = { name: 'nodes', description: 'a' };
    expect(provider.diff(GROUP, fixed, { ...fixed, description: 'b' }).deleteBeforeReplace).toBe(true);
    const { inputs } = provider.check(GROUP, {}, { description: 'a', vpcId: 'vpc-1' }, SEED, 'nodes');
    expect(provider.diff(GROUP, inputs, { ...inputs, description: 'b' }).deleteBeforeReplace).toBe(false);
  });
});
