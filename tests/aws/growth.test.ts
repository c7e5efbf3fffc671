/** A small stack that becomes a larger one: what is there stays as it is. */
import { touched } from './support/lifecycle.ts';
import { DoubleStack } from './support/stack.ts';

jest.setTimeout(600_000);

let stack: DoubleStack;

beforeAll(async () => {
  stack = await DoubleStack.start('dev');
  await stack.project.up('dev');
});

afterAll(async () => {
  await stack?.stop();
});

test('another zone has subnets and routes of its own, and the group takes them', async () => {
  const work = await stack.change({ zones: ['eu-central-1a', 'eu-central-1b'] });
  expect(work.types('delete')).toEqual([]);
  expect(work.types('create')).toEqual(['Route', 'RouteTable', 'RouteTableAssociation', 'Subnet']);
  expect(work.all.filter((line) => line.startsWith('update'))).toEqual([
    'update Group nodes',
    'update VpcEndpoint network-s3',
  ]);
});

const ENDPOINTS = ['autoscaling', 'ec2', 'ssm', 'ssmmessages'].map((service) => `endpoints-${service}`);

test('endpoints and flow logs come and go without touching a machine', async () => {
  const added = await stack.change({ vpcEndpoints: true, flowLogs: true });
  expect(added.names('create', 'VpcEndpoint').toSorted()).toEqual(ENDPOINTS);
  expect(added.types('create')).toEqual(expect.arrayContaining(['FlowLog', 'LogGroup', 'Role', 'RolePolicy']));
  // The way to the public addresses closes when the one inside is there.
  const closed = added.of('delete', 'SecurityGroupEgressRule');
  expect(closed.map(({ name }) => name)).toEqual(['security-etcd-out-services']);
  expect(added.notBefore(added.of('create', 'VpcEndpoint'), closed)).toEqual([]);
  const removed = await stack.change({ vpcEndpoints: false, flowLogs: false });
  expect(removed.failures).toEqual([]);
  expect(removed.names('delete', 'VpcEndpoint').toSorted()).toEqual(ENDPOINTS);
  for (const work of [added, removed]) {
    expect(work.types('update')).toEqual([]);
    expect(work.of('refresh', 'Group')).toEqual([]);
    expect(touched(work)).toEqual([]);
  }
});

test('an up whose process is killed holds its lock, and goes on when that is given back', async () => {
  const artifact = stack.artifact('flannel', '2').directory;
  await stack.project.configure('dev', { artifact });
  await stack.double.clearJournal();
  await stack.double.hold({ operation: 'update', type: 'aws:autoscaling/group:Group', seconds: 3 });
  await stack.project.killedUp('dev', () =>
    stack.double.until(({ operation, type }) => operation === 'update' && type.endsWith(':Group')),
  );
  const { code, output } = await stack.project.tryUp('dev');
  expect([code === 0, output.includes('pulumi cancel')]).toEqual([false, true]);
  await stack.project.ok('cancel', '--yes', '--stack', 'dev');
  await stack.project.up('dev');
  expect((await stack.project.state('dev')).deployment.pending_operations ?? []).toEqual([]);
  const versions = (await stack.double.machines()).map((machine) => machine.launchTemplateVersion);
  expect(new Set(versions)).toEqual(new Set(['2']));
  await stack.project.up('dev', '--expect-no-changes');
});
