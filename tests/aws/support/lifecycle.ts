/** What every stack of an account does, from the first preview to the end; each stack's tests add what is its own. */
import { replay } from '../moto/replay.ts';
import { Moto } from '../moto/server.ts';
import type { Settings } from './project.ts';
import { DoubleStack, shortType, userDataOf, type Work } from './stack.ts';

/** Where data is, and what has addresses: changes of programs and settings leave them alone. */
export const KEPT = ['Volume', 'Vpc', 'Subnet', 'NetworkInterface', 'Key', 'Bucket'] as const;

export interface Lifecycle {
  readonly stack: DoubleStack;
  /** What the first `up` did. */
  readonly first: Work;
}

/**
 * Declares the tests of the way up. The stack is up after them, for the tests that follow; `end` declares the last ones.
 */
export function describeLifecycle(
  name: 'dev' | 'ci' | 'prod',
  settings: Settings,
  more: (of: () => Lifecycle) => void,
): void {
  let stack: DoubleStack;
  let first: Work;

  beforeAll(async () => {
    stack = await DoubleStack.start(name, settings);
  });

  afterAll(async () => {
    await stack?.stop();
  });

  test('preview makes nothing', async () => {
    const { seconds, output } = await stack.project.preview(name);
    process.stderr.write(`pulumi preview of ${name}: ${seconds.toFixed(1)} s\n`);
    expect(output).toMatch(/\+ \d+ to create/);
    expect(await stack.double.resources()).toEqual([]);
  });

  test('up makes it, in an order that machines can boot in', async () => {
    first = await stack.work(() => stack.project.up(name));
    expect(first.failures).toEqual([]);
    expectBootOrder(first);
  });

  test('up again changes nothing', async () => {
    const again = await stack.work(() => stack.project.up(name, '--expect-no-changes'));
    expect(again.all).toEqual([]);
  });

  test('refresh finds what was made', async () => {
    const refreshed = await stack.work(() => stack.project.refresh(name, '--expect-no-changes'));
    expect(refreshed.all).toEqual([]);
  });

  test('no secret is in clear in the state, in outputs, in logs, in user data or in what AWS is told without protection', async () => {
    const secrets = await stack.secrets();
    expect(secrets.length).toBeGreaterThan(4);
    const resources = await stack.double.resources();
    const places = {
      state: stack.project.stored(),
      outputs: JSON.stringify(await stack.project.outputs(name)),
      said: stack.project.said,
      account: JSON.stringify(resources),
      journal: JSON.stringify(await stack.double.journal()),
      userData: resources.map(({ inputs }) => userDataOf(inputs)).join('\n'),
    };
    expect(places.userData).toContain('#cloud-config');
    for (const [place, text] of Object.entries(places)) {
      expect([place, secrets.filter((secret) => text.includes(secret))]).toEqual([place, []]);
      expect([place, text.includes('PRIVATE KEY')]).toEqual([place, false]);
    }
  });

  test('an emulation of the API takes the network, the groups and the roles', async () => {
    const moto = await Moto.start();
    try {
      const counts = await replay(moto, await inOrder(stack, first));
      const asked = ['CreateVpc', 'CreateSubnet', 'CreateSecurityGroup', 'AuthorizeSecurityGroupIngress', 'CreateRole'];
      expect([...counts.keys()]).toEqual(expect.arrayContaining([...asked, 'CreateVolume', 'CreateNetworkInterface']));
    } finally {
      await moto.stop();
    }
  });

  more(() => ({ stack, first }));
}

/** As they were made, so that each finds what it names. */
async function inOrder(stack: DoubleStack, first: Work): Promise<Awaited<ReturnType<DoubleStack['find']>>> {
  const order = new Map(first.entries.map(({ urn, end }) => [urn, end ?? 0]));
  const resources = await stack.double.resources();
  return [...resources].sort((a, b) => (order.get(a.urn) ?? 0) - (order.get(b.urn) ?? 0));
}

/** A machine that boots finds its artifact, its parameters, its permissions and its way out; nodes find an etcd. */
export function expectBootOrder(work: Work): void {
  const etcd = work.of('create', 'Instance').filter(({ name }) => name.startsWith('etcd'));
  const nodes = [
    ...work.of('create', 'Group'),
    ...work.of('create', 'Instance').filter(({ name }) => !name.startsWith('etcd')),
  ];
  const needed = ['BucketObjectv2', 'Parameter', 'RolePolicy', 'RouteTableAssociation', 'SecurityGroupEgressRule'];
  for (const type of needed) {
    const made = work.of('create', type);
    expect([type, made.length > 0]).toEqual([type, true]);
    expect(work.notBefore(made, nodes)).toEqual([]);
  }
  const ofEtcd = work.of('create', 'Parameter').filter(({ inputs }) => String(inputs?.name).includes('/etcd/'));
  expect(work.notBefore(ofEtcd, etcd)).toEqual([]);
  expect(work.notBefore(etcd, nodes)).toEqual([]);
  for (const [i, member] of etcd.entries()) {
    if (i > 0) expect(work.notBefore([etcd[i - 1]!], [member])).toEqual([]);
  }
}

/** The order that AWS needs, as far as it does not refuse another one by itself; and nothing failed on the way. */
export function expectTeardownOrder(work: Work): void {
  expect(work.failures).toEqual([]);
  const pairs = [
    ['NatGateway', 'Eip'],
    ['Eip', 'InternetGateway'],
    ['Group', 'LaunchTemplate'],
    ['Instance', 'RolePolicy'],
    ['Instance', 'RouteTableAssociation'],
    ['Subnet', 'Vpc'],
  ] as const;
  for (const [before, after] of pairs) {
    const [one, other] = [work.of('delete', before), work.of('delete', after)];
    if (one.length > 0 && other.length > 0) expect(work.notBefore(one, other)).toEqual([]);
  }
}

/** Of what must outlive a change, what was touched; empty if nothing was. */
export function touched(work: Work): readonly string[] {
  return work.entries
    .filter(({ type }) => (KEPT as readonly string[]).includes(shortType(type)))
    .map(({ operation, type, name }) => `${operation} ${shortType(type)} ${name}`);
}
