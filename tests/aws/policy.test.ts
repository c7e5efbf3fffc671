/** The policies by the real CLI: on this project's stacks, and on a program that does all they refuse. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { POLICIES } from '../../infra/policy/pack.ts';
import { Double, REPOSITORY } from './support/double.ts';
import { Project } from './support/project.ts';
import { DoubleStack } from './support/stack.ts';

jest.setTimeout(600_000);

const PACK = join(REPOSITORY, 'infra', 'policy');

/** Names of the policies that were violated. */
function violated(output: string): string[] {
  return [...new Set([...output.matchAll(/\[mandatory\]\s+([\w-]+)/g)].map(([, name]) => name!))].sort();
}

describe.each(['dev', 'ci', 'prod'])('the stack %s', (name) => {
  let stack: DoubleStack;

  beforeAll(async () => {
    stack = await DoubleStack.start(name);
  });

  afterAll(async () => {
    await stack.stop();
  });

  test.each([
    ['a preview', ['preview']],
    ['an update', ['up', '--yes', '--skip-preview']],
  ])('keeps to every policy in %s', async (_, command) => {
    const { output, code } = await stack.project.run(...command, '--stack', name, '--policy-pack', PACK);
    expect([violated(output), code, output]).toEqual([[], 0, expect.stringContaining('flannel@')]);
  });
});

const CARELESS = `
import * as aws from '@pulumi/aws';

const provider = new aws.Provider('aws', { region: 'eu-central-1', accessKey: 'test', secretKey: 'test' });
const opts = { provider };
const vpc = new aws.ec2.Vpc('vpc', { cidrBlock: '10.64.0.0/19' }, opts);
const subnet = new aws.ec2.Subnet('subnet', { vpcId: vpc.id, cidrBlock: '10.64.0.0/24', mapPublicIpOnLaunch: true }, opts);
const group = new aws.ec2.SecurityGroup('group', { vpcId: vpc.id, ingress: [
  { protocol: 'tcp', fromPort: 80, toPort: 80, cidrBlocks: ['10.0.0.0/8'] },
] }, opts);
const world = { securityGroupId: group.id, cidrIpv4: '0.0.0.0/0' };
new aws.vpc.SecurityGroupIngressRule('ssh', { ...world, ipProtocol: 'tcp', fromPort: 22, toPort: 22 }, opts);
new aws.vpc.SecurityGroupEgressRule('out', { ...world, ipProtocol: '-1' }, opts);
new aws.ec2.LaunchTemplate('template', {
  imageId: 'ami-0123456789abcdef0', instanceType: 't4g.small', userData: Buffer.from('password: hunter2').toString('base64'),
}, opts);
new aws.ebs.Volume('volume', { availabilityZone: 'eu-central-1a', size: 10, tags: { 'flannel:role': 'etcd' } }, opts);
new aws.kms.Key('key', {}, opts);
new aws.s3.Bucket('bucket', {}, opts);
new aws.ssm.Parameter('parameter', {
  name: '/flannel/prod/key', type: 'String', insecureValue: ['-----BEGIN EC', 'PRIVATE KEY-----'].join(' '),
}, opts);
new aws.iam.Policy('policy', { policy: JSON.stringify({
  Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }],
}) }, opts);
export const made = subnet.id;
`;

describe('a program that does all that is refused', () => {
  let double: Double;
  let project: Project;

  beforeAll(async () => {
    double = await Double.start();
    project = await Project.ofSource(double, CARELESS);
    const host = `plugins: { analyzers: [{ name: policy-node-script, path: ${join(PACK, 'host')} }] }`;
    writeFileSync(join(project.directory, 'Pulumi.yaml'), `name: small\nruntime: nodejs\n${host}\n`);
    await project.init('prod');
  });

  afterAll(async () => {
    await double.stop();
    project.remove();
  });

  test('is refused for all of it', async () => {
    const { output, code } = await project.run('preview', '--stack', 'prod', '--policy-pack', PACK);
    expect([violated(output), code === 0]).toEqual([POLICIES.map(({ name }) => name).sort(), false]);
  });

  test('makes nothing of what is refused', async () => {
    const { code } = await project.run('up', '--yes', '--skip-preview', '--stack', 'prod', '--policy-pack', PACK);
    expect(code).not.toBe(0);
    const made = (await double.resources()).map(({ type }) => type);
    expect(made.filter((type) => /Volume|LaunchTemplate|IngressRule|Subnet/.test(type))).toEqual([]);
  });
});
