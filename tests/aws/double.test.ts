/** The test double itself, by a small program and the real Pulumi CLI: that it can be believed. */
import { Double } from './support/double.ts';
import { Project } from './support/project.ts';

jest.setTimeout(120_000);

const HEAD = `
import * as aws from '@pulumi/aws';
import * as pulumi from '@pulumi/pulumi';
const provider = new aws.Provider('aws', { region: 'eu-central-1', defaultTags: { tags: { owner: 'tests' } } });
const o = { provider };
`;
const NETWORK = `${HEAD}
const vpc = new aws.ec2.Vpc('net', { cidrBlock: '10.64.0.0/19', tags: { Name: 'net' } }, o);
const a = new aws.ec2.Subnet('a', { vpcId: vpc.id, cidrBlock: '10.64.0.0/24', availabilityZone: 'eu-central-1a' }, o);
const group = new aws.ec2.SecurityGroup('group', { vpcId: vpc.id, description: 'Machines' }, o);
export const vpcId = vpc.id;
export const tags = vpc.tagsAll;
export const name = group.name;
`;

let double: Double;
let project: Project;

beforeAll(async () => {
  double = await Double.start();
  project = await Project.ofSource(double, NETWORK);
  await project.init('small');
});

afterAll(async () => {
  await double?.stop();
  project?.remove();
});

test('up, up again, refresh and destroy work with it as with AWS', async () => {
  const { output } = await project.preview('small');
  expect(output).toContain('+ 5 to create');
  await project.up('small');
  const outputs = await project.outputs<{ vpcId: string; tags: unknown; name: string }>('small');
  expect(outputs.vpcId).toMatch(/^vpc-[0-9a-f]{17}$/);
  expect(outputs.tags).toEqual({ owner: 'tests', Name: 'net' });
  expect(outputs.name).toMatch(/^group-[0-9a-f]{7}$/);
  await project.up('small', '--expect-no-changes');
  await project.refresh('small', '--expect-no-changes');
  await project.destroy('small');
  expect(await double.resources()).toEqual([]);
});
