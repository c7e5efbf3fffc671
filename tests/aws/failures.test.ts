/** Commands that fail in the middle: the next `up` goes on, a `destroy` removes what is there, and what fails twice is told twice. */
import { DoubleStack } from './support/stack.ts';

jest.setTimeout(600_000);

let stack: DoubleStack;

beforeAll(async () => {
  stack = await DoubleStack.start('dev', {
    etcdMembers: 3,
    zones: ['eu-central-1a', 'eu-central-1b', 'eu-central-1c'],
  });
});

afterAll(async () => {
  await stack?.stop();
});

afterEach(() => stack.double.clearFaults());

const INSTANCE = 'aws:ec2/instance:Instance';
const MESSAGE = 'InsufficientInstanceCapacity: We currently do not have sufficient capacity in the Availability Zone';

/** Every resource of the state is in the account, and the other way round; artifacts that were replaced stay on purpose. */
async function expectAgreement(): Promise<void> {
  const { deployment } = await stack.project.state('dev');
  const known = (deployment.resources ?? []).filter(({ custom, type }) => custom && !type.startsWith('pulumi'));
  const ids = new Set(known.map(({ id }) => id));
  const there = (await stack.double.resources()).filter(
    ({ type, id }) => ids.has(id) || !type.includes('BucketObject'),
  );
  expect(known.map(({ urn, id }) => `${urn} ${id}`).sort()).toEqual(there.map(({ urn, id }) => `${urn} ${id}`).sort());
}

test('an up that fails at the second member says why, and the next one goes on from there', async () => {
  await stack.double.fail({ operation: 'create', type: INSTANCE, name: 'etcd-etcd-1', message: MESSAGE });
  const { code, output } = await stack.project.tryUp('dev');
  expect(code).not.toBe(0);
  expect(output).toContain(MESSAGE);
  expect((await stack.find('Instance')).map(({ name }) => name)).toEqual(['etcd-etcd-0']);
  await expectAgreement();
  const work = await stack.work(() => stack.project.up('dev'));
  expect(work.names('create', 'Instance')).toEqual(['etcd-etcd-1', 'etcd-etcd-2']);
  expect(work.types('delete')).toEqual([]);
  expect(work.names('create', 'Vpc')).toEqual([]);
  await expectAgreement();
});

test('a change of etcd that fails at the second member leaves two, and the next up completes it', async () => {
  const etcdArtifact = stack.artifact('etcd', '2').directory;
  await stack.project.configure('dev', { etcdArtifact });
  await stack.double.fail({ operation: 'create', type: INSTANCE, name: 'etcd-etcd-1', message: MESSAGE });
  expect((await stack.project.tryUp('dev')).output).toContain(MESSAGE);
  expect((await stack.find('Instance')).map(({ name }) => name).sort()).toEqual(['etcd-etcd-0', 'etcd-etcd-2']);
  const work = await stack.work(() => stack.project.up('dev'));
  expect(work.names('create', 'Instance')).toEqual(['etcd-etcd-1', 'etcd-etcd-2']);
  expect(work.names('delete', 'Volume')).toEqual([]);
  await expectAgreement();
});

test('a node group that somebody removed by hand is made again', async () => {
  const [group] = await stack.find('Group');
  await stack.double.vanish(group!.urn);
  const work = await stack.work(() => stack.project.up('dev'));
  expect(work.all).toEqual([
    'create Group nodes',
    'create LifecycleHook nodes-flannel-lease-given-back',
    'create LifecycleHook nodes-flannel-ready',
  ]);
});

test('a destroy that fails in the middle is resumed by the next one', async () => {
  await stack.double.fail({
    operation: 'delete',
    type: 'aws:ec2/natGateway:NatGateway',
    message: 'RequestLimitExceeded: Request limit exceeded',
  });
  const { code, output } = await stack.project.tryDestroy('dev');
  expect(code).not.toBe(0);
  expect(output).toContain('RequestLimitExceeded');
  expect(await stack.find('Vpc')).toHaveLength(1);
  await expectAgreement();
  const work = await stack.work(() => stack.project.destroy('dev'));
  expect(work.failures).toEqual([]);
  expect(await stack.double.resources()).toEqual([]);
});

test('an up that was half done is destroyed without a trace', async () => {
  const type = 'aws:autoscaling/group:Group';
  await stack.double.fail({ operation: 'create', type, message: 'Timeout while waiting for capacity', halfMade: true });
  expect((await stack.project.tryUp('dev')).output).toContain('Timeout while waiting for capacity');
  expect(await stack.double.machines()).not.toEqual([]);
  const work = await stack.work(() => stack.project.destroy('dev'));
  expect(work.failures).toEqual([]);
  expect([...(await stack.double.resources()), ...(await stack.double.machines())]).toEqual([]);
});

test('a default provider is refused: what names none cannot go to an account that happens to be around', async () => {
  const settings = JSON.parse((await stack.project.ok('config', '--json', '--stack', 'dev')).stdout) as Record<
    string,
    object
  >;
  expect(settings['pulumi:disable-default-providers']).toMatchObject({ objectValue: ['aws'] });
});
