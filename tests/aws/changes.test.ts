/** What a change of a running stack touches, and what it must leave alone: three members of etcd, and nodes in a group. */
import { expectTeardownOrder, touched } from './support/lifecycle.ts';
import { DoubleStack, userDataOf, Work } from './support/stack.ts';

jest.setTimeout(600_000);

const ZONES = ['eu-central-1a', 'eu-central-1b', 'eu-central-1c'];
const MEMBERS = ['etcd-etcd-0', 'etcd-etcd-1', 'etcd-etcd-2'];

let stack: DoubleStack;

beforeAll(async () => {
  stack = await DoubleStack.start('dev', { zones: ZONES, etcdMembers: 3, nodes: 3 });
  await stack.project.up('dev');
});

afterAll(async () => {
  await stack?.stop();
});

/** Without the machines of the group, whose names are ids. */
function changed(work: Work): readonly string[] {
  return work.all.filter((line) => !line.startsWith('refresh '));
}

async function machineIds(): Promise<readonly string[]> {
  return (await stack.double.machines()).map(({ id }) => id);
}

const ROLL = ['update Group nodes', 'update LaunchTemplate nodes'];

test('another artifact is another object and another template, and rolls over all nodes and nothing else', async () => {
  const before = await machineIds();
  const { directory, sha256 } = stack.artifact('flannel', '2');
  const work = await stack.change({ artifact: directory });
  expect(changed(work)).toEqual(['create BucketObjectv2 artifacts-node', ...ROLL]);
  expect(work.of('refresh', 'Group').map(({ name }) => name)).toEqual(before);
  expect((await machineIds()).filter((id) => before.includes(id))).toEqual([]);
  const [template] = await stack.find('LaunchTemplate');
  expect(userDataOf(template!.inputs)).toContain(sha256);
  expect((await stack.project.outputs<{ artifact: unknown }>('dev')).artifact).toEqual({ version: '2', sha256 });
  expect(touched(work)).toEqual([]);
});

test('the artifact before is a way back, by configuration alone', async () => {
  const { directory, sha256 } = stack.artifact('flannel', '1');
  const work = await stack.change({ artifact: directory });
  expect(changed(work)).toEqual(['create BucketObjectv2 artifacts-node', ...ROLL]);
  const [template] = await stack.find('LaunchTemplate');
  expect(userDataOf(template!.inputs)).toContain(sha256);
});

test('nodes that never get ready are a failed up, and leave the others in service; setting it back is a way out', async () => {
  const before = await machineIds();
  const { directory, sha256 } = stack.artifact('flannel', '3');
  await stack.double.neverReady(sha256);
  await stack.project.configure('dev', { artifact: directory });
  const { code, output } = await stack.project.tryUp('dev');
  expect(code).not.toBe(0);
  expect(output).toContain(
    'the instance refresh ended as RollbackSuccessful (The launch of an instance was abandoned)',
  );
  expect(await machineIds()).toEqual(before);
  await stack.double.clearFaults();
  await stack.change({ artifact: stack.artifact('flannel', '1').directory });
  expect(await machineIds()).toHaveLength(3);
});

test('another port of the backend opens before it closes, tells etcd, and leaves etcd and the network alone', async () => {
  const work = await stack.change({ backend: { Type: 'udp', Port: 8300 } });
  expect(changed(work)).toEqual([
    'create SecurityGroupEgressRule security-node-out-overlay-udp-8300',
    'create SecurityGroupIngressRule security-node-in-overlay-udp-8300',
    'delete SecurityGroupEgressRule security-node-out-overlay-udp-8285',
    'delete SecurityGroupIngressRule security-node-in-overlay-udp-8285',
    'run Command etcd-settled',
    'update Parameter parameter-flannel-etcd-network',
  ]);
  const opened = work.of('create', 'SecurityGroupIngressRule');
  expect(work.notBefore(opened, work.of('delete', 'SecurityGroupIngressRule'))).toEqual([]);
  expect(work.notBefore(opened, work.of('run', 'Command'))).toEqual([]);
  expect(work.notBefore(work.of('run', 'Command'), work.of('delete', 'SecurityGroupIngressRule'))).toEqual([]);
  expect(touched(work)).toEqual([]);
});

test('a backend without encapsulation is followed by the nodes that run: the check goes first, and comes back last', async () => {
  const before = await machineIds();
  const named = (work: Work, operation: 'create' | 'update' | 'run', type: string, name: string) =>
    work.of(operation, type).filter((entry) => entry.name === name);
  const check = ['create Association source-dest-check', 'delete Association source-dest-check'];
  const off = await stack.change({ backend: { Type: 'vxlan', DirectRouting: true } });
  expect(changed(off)).toEqual([
    check[0],
    ...['create SecurityGroupEgressRule security-node-out', 'create SecurityGroupIngressRule security-node-in'].flatMap(
      (rule) => [`${rule}-overlay-vxlan-8472`, `${rule}-pods`],
    ),
    check[1],
    'delete SecurityGroupEgressRule security-node-out-overlay-udp-8300',
    'delete SecurityGroupIngressRule security-node-in-overlay-udp-8300',
    'run Command etcd-settled',
    'update Parameter parameter-flannel-etcd-network',
    'update Parameter parameter-flannel-node-source-dest-check',
  ]);
  const settled = (work: Work) => named(work, 'run', 'Command', 'etcd-settled');
  const switched = (work: Work) => [
    ...named(work, 'update', 'Parameter', 'parameter-flannel-node-source-dest-check'),
    ...named(work, 'create', 'Association', 'source-dest-check'),
  ];
  expect(off.notBefore(off.of('create', 'SecurityGroupIngressRule'), switched(off))).toEqual([]);
  expect(off.notBefore(switched(off), settled(off))).toEqual([]);
  expect(off.notBefore(settled(off), off.of('delete', 'SecurityGroupIngressRule'))).toEqual([]);
  const on = await stack.change({ backend: { Type: 'udp', Port: 8300 } });
  expect(on.notBefore(settled(on), switched(on))).toEqual([]);
  expect(on.notBefore(switched(on), on.of('delete', 'SecurityGroupIngressRule'))).toEqual([]);
  expect([...touched(off), ...touched(on)]).toEqual([]);
  expect(await machineIds()).toEqual(before);
});

test('more nodes are a larger group', async () => {
  const before = await machineIds();
  expect((await stack.change({ nodes: 5 })).all).toEqual(['update Group nodes']);
  expect((await machineIds()).slice(0, 3)).toEqual(before);
  expect(await machineIds()).toHaveLength(5);
  expect((await stack.change({ nodes: 2 })).all).toEqual(['update Group nodes']);
  expect(await machineIds()).toEqual(before.slice(0, 2));
});

test('a newer image of Amazon is told, and replaces nothing until a setting names it', async () => {
  await stack.double.publishImages();
  const { output } = await stack.project.up('dev', '--expect-no-changes');
  expect(output).toContain('A newer image is there: ami-0a86a86a86a86a861. Machines stay with ami-0a86a86a86a86a860');
});

test('another type and another image of nodes roll over the nodes, and etcd stays', async () => {
  const work = await stack.change({ instanceType: 't3.medium', imageId: 'ami-0a86a86a86a86a861' });
  expect(changed(work)).toEqual(ROLL);
});

test('an image for etcd replaces one member after another, each when the one before is healthy', async () => {
  const work = await stack.change({ etcdImageId: 'ami-0a86a86a86a86a861' });
  expect(work.names('create', 'Instance')).toEqual(MEMBERS);
  for (const [i, next] of MEMBERS.slice(1).entries()) {
    const healthy = work.of('run', 'Command').filter(({ name }) => name === `${MEMBERS[i]}-healthy`);
    const replaced = work.of('delete', 'Instance').filter(({ name }) => name === next);
    expect([healthy.length, work.notBefore(healthy, replaced)]).toEqual([1, []]);
  }
  expect(touched(work)).toEqual([]);
});

test('more NAT gateways are other routes', async () => {
  const work = await stack.change({ nat: 'zone' });
  expect(work.types('create', 'update')).toEqual(['Eip', 'NatGateway', 'Route']);
  expect(work.types('delete')).toEqual([]);
  expect(touched(work)).toEqual([]);
});

test('a member that does not get well stops the change, and the others are not touched', async () => {
  const { directory } = stack.artifact('etcd', '3');
  await stack.project.configure('dev', { etcdArtifact: directory });
  await stack.double.fail({
    operation: 'run',
    type: 'aws:ssm/command:Command',
    name: 'etcd-etcd-0-healthy',
    message: 'etcd-0 is not healthy',
  });
  await stack.double.clearJournal();
  const { code, output } = await stack.project.tryUp('dev');
  expect(code).not.toBe(0);
  expect(output).toContain('ended as Failed: etcd-0 is not healthy');
  const work = new Work(await stack.double.done());
  expect(work.names('delete', 'Instance')).toEqual(['etcd-etcd-0']);
  await stack.double.clearFaults();
  const rest = await stack.work(() => stack.project.up('dev'));
  expect(rest.names('run', 'Command')).toEqual([...MEMBERS.map((name) => `${name}-healthy`), 'etcd-settled']);
  expect(rest.names('delete', 'Instance')).toEqual(MEMBERS.slice(1));
});

test('another etcd is one member after another, each with its volume and its address', async () => {
  const attached = async () =>
    (await stack.find('VolumeAttachment')).map(({ name, inputs }) => [name, inputs.volumeId]).sort();
  const before = await attached();
  const work = await stack.change({ etcdArtifact: stack.artifact('etcd', '4').directory });
  expect(work.names('delete', 'Instance')).toEqual(MEMBERS);
  expect(work.names('create', 'Instance')).toEqual(MEMBERS);
  for (const [i, name] of MEMBERS.entries()) {
    const of = (operation: 'create' | 'delete' | 'run', type: string, which: string) =>
      work.of(operation, type).filter((entry) => entry.name === which);
    const healthy = of('run', 'Command', `${name}-healthy`);
    expect(work.notBefore(of('delete', 'VolumeAttachment', `${name}-data`), of('delete', 'Instance', name))).toEqual(
      [],
    );
    expect(work.notBefore(of('delete', 'Instance', name), of('create', 'Instance', name))).toEqual([]);
    expect(work.notBefore(of('create', 'VolumeAttachment', `${name}-data`), healthy)).toEqual([]);
    const next = MEMBERS[i + 1];
    if (next !== undefined) expect(work.notBefore(healthy, of('delete', 'Instance', next))).toEqual([]);
  }
  expect(await attached()).toEqual(before);
  expect(touched(work)).toEqual([]);
  expect(work.of('refresh', 'Group')).toEqual([]);
});

test('another type of etcd machines restarts one member after another, each when the one before is healthy', async () => {
  const work = await stack.change({ etcdInstanceType: 't3.medium' });
  expect(work.names('update', 'Instance')).toEqual(MEMBERS);
  for (const [i, next] of MEMBERS.slice(1).entries()) {
    const healthy = work.of('run', 'Command').filter(({ name }) => name === `${MEMBERS[i]}-healthy`);
    const updated = work.of('update', 'Instance').filter(({ name }) => name === next);
    expect(work.notBefore(healthy, updated)).toEqual([]);
  }
  expect(touched(work)).toEqual([]);
});

test('a time to live is a tag: machines of the group roll for theirs, and etcd goes on', async () => {
  const work = await stack.change({ ttlHours: 24 });
  expect(work.types('create', 'delete')).toEqual([]);
  expect(work.names('update', 'Instance')).toEqual(MEMBERS);
  expect(work.names('update', 'Vpc')).toEqual(['network']);
  expect(await stack.work(() => stack.project.up('dev', '--expect-no-changes'))).toMatchObject({ entries: [] });
});

test('destroy leaves nothing of all that', async () => {
  expectTeardownOrder(await stack.work(() => stack.project.destroy('dev')));
  expect(await stack.double.resources()).toEqual([]);
});
