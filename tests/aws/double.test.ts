/** The test double under the real Pulumi CLI, by a small program: that it can be believed. */
import { Double } from './support/double.ts';
import { Project } from './support/project.ts';

jest.setTimeout(600_000);

const HEAD = `
import * as pulumi from '@pulumi/pulumi';
import { Provider } from '@pulumi/aws/provider';
import { Vpc } from '@pulumi/aws/ec2/vpc';
import { Subnet } from '@pulumi/aws/ec2/subnet';
import { LaunchTemplate } from '@pulumi/aws/ec2/launchTemplate';
import { SecurityGroup } from '@pulumi/aws/ec2/securityGroup';
import { Parameter } from '@pulumi/aws/ssm/parameter';
import * as tls from '@pulumi/tls';
const provider = new Provider('aws', { region: 'eu-central-1', defaultTags: { tags: { owner: 'tests' } } });
const o = { provider };
`;
const NETWORK = `${HEAD}
const vpc = new Vpc('net', { cidrBlock: '10.64.0.0/19', tags: { Name: 'net' } }, o);
const a = new Subnet('a', { vpcId: vpc.id, cidrBlock: '10.64.0.0/24', availabilityZone: 'eu-central-1a' }, o);
const group = new SecurityGroup('group', { vpcId: vpc.id, description: 'Machines' }, o);
export const vpcId = vpc.id;
export const tags = vpc.tagsAll;
export const name = group.name;
`;
const SECRETS = `${HEAD}
const key = new tls.PrivateKey('key', { algorithm: 'ECDSA', ecdsaCurve: 'P256' });
const ca = new tls.SelfSignedCert('ca', { privateKeyPem: key.privateKeyPem, isCaCertificate: true, validityPeriodHours: 24,
  allowedUses: ['cert_signing', 'digital_signature'], subject: { commonName: 'CA' } });
const own = new tls.PrivateKey('own', { algorithm: 'ECDSA', ecdsaCurve: 'P256' });
const request = new tls.CertRequest('request', { privateKeyPem: own.privateKeyPem, subject: { commonName: 'etcd-0' }, ipAddresses: ['10.64.27.10'] });
const cert = new tls.LocallySignedCert('cert', { certRequestPem: request.certRequestPem, caPrivateKeyPem: key.privateKeyPem,
  caCertPem: ca.certPem, validityPeriodHours: 24, allowedUses: ['server_auth', 'client_auth', 'digital_signature'] });
const parameter = new Parameter('key', { name: '/s/key', type: 'SecureString', value: own.privateKeyPem }, o);
export const certificate = cert.certPem;
export const secret = own.privateKeyPem;
export const stored = parameter.value;
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

beforeEach(async () => {
  project.write(NETWORK);
  await double.clearFaults();
  await double.clearJournal();
});

test('up, up again, refresh and destroy work with it as with AWS', async () => {
  expect((await project.preview('small')).output).toContain('+ 5 to create');
  expect(await double.done()).toEqual([]);
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

test('a wrong property ends the preview, with its name', async () => {
  const options = `{ httpTokens: 'required', httpHops: 1 } as never`;
  project.write(`${HEAD}new LaunchTemplate('nodes', { metadataOptions: ${options} }, o);`);
  const { code, output } = await project.run('preview', '--stack', 'small');
  expect(code).not.toBe(0);
  expect(output).toMatch(/metadataOptions\.httpHops .*is no property/);
});

test('a failure on demand strikes once, and the next up goes on', async () => {
  await double.fail({ operation: 'create', type: 'aws:ec2/subnet:Subnet', message: 'RequestLimitExceeded: later' });
  const failed = await project.tryUp('small');
  expect([failed.code === 0, failed.output.includes('RequestLimitExceeded: later')]).toEqual([false, true]);
  await project.up('small');
  expect((await double.resources()).map(({ name }) => name).sort()).toEqual(['a', 'group', 'net']);
  const [vpc] = (await double.resources()).filter(({ name }) => name === 'net');
  expect((await double.done('create')).filter(({ name, id }) => name === 'net' && id !== vpc?.id)).toEqual([]);
});

test('a resource that was half made is in the state, and is completed', async () => {
  await project.destroy('small');
  await double.fail({ operation: 'create', type: 'aws:ec2/vpc:Vpc', message: 'Waiting: timeout', halfMade: true });
  expect((await project.tryUp('small')).output).toContain('Waiting: timeout');
  await project.up('small');
  expect((await double.resources()).filter(({ type }) => type === 'aws:ec2/vpc:Vpc')).toHaveLength(1);
});

test('what somebody removed or changed by hand is seen by a refresh', async () => {
  await project.up('small');
  const find = async (name: string) => (await double.resources()).find((each) => each.name === name)!;
  const [group, subnet] = [await find('group'), await find('a')];
  await double.vanish(group.urn);
  await double.drift(subnet.urn, { tags: { by: 'hand' } });
  await project.refresh('small');
  await double.clearJournal();
  await project.up('small');
  const done = await double.done();
  expect(done.map(({ operation, name }) => `${operation} ${name}`).sort()).toEqual(['create group', 'update a']);
});

test('keys are real, and secret wherever they are kept', async () => {
  project.write(SECRETS);
  await project.up('small');
  const outputs = await project.outputs<{ certificate: string; secret: string }>('small');
  expect(outputs.certificate).toMatch(/^-----BEGIN CERTIFICATE-----\n/);
  expect(outputs.secret).toBe('[secret]');
  const shown = await project.outputs<{ secret: string; stored: string }>('small', '--show-secrets');
  expect(shown.secret).toMatch(/^-----BEGIN EC PRIVATE KEY-----\n/);
  expect(shown.stored).toBe(shown.secret);
  expect(project.stored()).not.toContain('PRIVATE KEY');
  expect(JSON.stringify(await double.journal())).not.toContain('PRIVATE KEY');
  await project.up('small', '--expect-no-changes');
});

test('a resource without a provider is refused where the default ones are disabled', async () => {
  await project.configure('small', { 'pulumi:disable-default-providers': ['aws'] });
  project.write(`${HEAD}new Vpc('forgotten', { cidrBlock: '10.64.0.0/19' });`);
  const { code, output } = await project.run('preview', '--stack', 'small');
  expect(code).not.toBe(0);
  expect(output).toMatch(/[Dd]efault provider for 'aws' disabled/);
});
