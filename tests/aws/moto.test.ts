/** The opinion of an emulation of AWS's API (moto). Its yes proves less than its no: it takes a /29 for a subnet, for one. */
import type { ResourceView } from './double/protocol.ts';
import { replay } from './moto/replay.ts';
import { Moto, Refusal } from './moto/server.ts';

jest.setTimeout(600_000);

let moto: Moto;

beforeAll(async () => {
  moto = await Moto.start();
});

afterAll(async () => {
  await moto?.stop();
});

function made(type: string, id: string, inputs: Readonly<Record<string, unknown>>): ResourceView {
  return { type, id, inputs, outputs: {}, urn: '', name: id };
}

const VPC = made('aws:ec2/vpc:Vpc', 'vpc-1', { cidrBlock: '10.64.0.0/19', enableDnsHostnames: true });
const subnet = (id: string, cidrBlock: string): ResourceView =>
  made('aws:ec2/subnet:Subnet', id, { vpcId: 'vpc-1', cidrBlock, availabilityZone: 'eu-central-1a' });

test('takes subnets side by side', async () => {
  const counts = await replay(moto, [VPC, subnet('subnet-1', '10.64.0.0/21'), subnet('subnet-2', '10.64.8.0/21')]);
  expect(counts.get('CreateSubnet')).toBe(2);
});

test.each([
  ['overlap', '10.64.0.0/24', 'InvalidSubnet.Conflict'],
  ['are outside', '10.65.0.0/24', 'InvalidSubnet.Range'],
])('refuses subnets that %s', async (_, cidr, code) => {
  const asked = replay(moto, [VPC, subnet('subnet-1', '10.64.0.0/21'), subnet('subnet-2', cidr)]);
  await expect(asked).rejects.toMatchObject({ name: 'Refusal', code });
});

test('refuses a policy that is none, and a group that is not there', async () => {
  const trust = '{"Version":"2012-10-17","Statement":[]}';
  const role = made('aws:iam/role:Role', 'r', { name: 'r', assumeRolePolicy: trust });
  const policy = made('aws:iam/rolePolicy:RolePolicy', 'p', { name: 'p', role: 'r', policy: trust.slice(1) });
  await expect(replay(moto, [role, policy])).rejects.toThrow(Refusal);
  const rule = made('aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule', 'sgr-1', {
    securityGroupId: 'sg-0123456789abcdef0',
    ipProtocol: 'tcp',
    fromPort: 2379,
    toPort: 2379,
    cidrIpv4: '10.64.0.0/19',
  });
  await expect(replay(moto, [rule])).rejects.toThrow('InvalidGroup.NotFound');
});
