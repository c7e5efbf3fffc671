import { type Recorded, type Run, recordStack } from './testing/recorded.ts';
import { COMMITTED, type Committed, committedSettings, parseStackFile, readStackFile } from './testing/stack-file.ts';

const runs = new Map<string, Promise<Run>>();

/** Each stack is run once. */
function run(stack: Committed, changes: Record<string, string> = {}): Promise<Run> {
  const key = JSON.stringify([stack, changes]);
  const known = runs.get(key);
  if (known !== undefined) return known;
  // One after another: the mocks are the process's.
  const begun = Promise.allSettled(runs.values()).then(() => recordStack(stack, changes));
  runs.set(key, begun);
  return begun;
}

/** Short, as "ec2/vpc" is long. */
const kind = ({ type }: Recorded) => type.split(':').at(-1)!;

function count(resources: readonly Recorded[], type: string): number {
  return resources.filter((resource) => kind(resource) === type).length;
}

function only(resources: readonly Recorded[], type: string, name?: string): Recorded {
  const found = resources.filter((each) => kind(each) === type && (name === undefined || each.name === name));
  expect(found).toHaveLength(1);
  return found[0]!;
}

/** Everything that must be there before it, and goes after it: what it and its parents depend on, and so on. */
function before(resources: readonly Recorded[], of: Recorded): Set<string> {
  const byUrn = new Map(resources.map((each) => [each.urn, each]));
  const found = new Set<string>();
  const queue = [of];
  for (let each = queue.pop(); each !== undefined; each = queue.pop()) {
    for (const urn of [...each.dependencies, each.parent]) {
      if (found.has(urn)) continue;
      found.add(urn);
      const next = byUrn.get(urn);
      if (next !== undefined) queue.push(next);
    }
  }
  return new Set([...found].map((urn) => urn.split('::').at(-1)!));
}

const decode = (base64: unknown) => Buffer.from(String(base64), 'base64').toString();

describe('stacks/', () => {
  test.each(COMMITTED)('Pulumi.%s.yaml is right, and holds nothing of one user', (stack) => {
    const text = readStackFile(stack);
    expect(committedSettings(stack).environment).toBe('aws');
    expect(parseStackFile(text)['pulumi:disable-default-providers']).toBe('["aws"]');
    expect(text).not.toMatch(/encryptionsalt|encryptedkey|secretsprovider|secure:/);
  });
});

describe('createAwsEnvironment()', () => {
  test('has as many ways out as the stack says', async () => {
    expect(count((await run('dev')).resources, 'NatGateway')).toBe(1);
    expect(count((await run('prod')).resources, 'NatGateway')).toBe(3);
    const { resources } = await run('prod', { nat: 'none' });
    expect(['NatGateway', 'Eip', 'InternetGateway'].map((type) => count(resources, type))).toEqual([0, 0, 0]);
    expect(count(resources, 'Route')).toBe(0);
    expect(count(resources, 'Subnet')).toBe(6);
  });

  test('has endpoints, flow logs and members where they are asked for', async () => {
    const dev = (await run('dev')).resources;
    const prod = (await run('prod')).resources;
    expect([count(dev, 'VpcEndpoint'), count(dev, 'FlowLog'), count(dev, 'EtcdMember')]).toEqual([1, 0, 1]);
    expect([count(prod, 'VpcEndpoint'), count(prod, 'FlowLog'), count(prod, 'EtcdMember')]).toEqual([5, 1, 3]);
  });

  test.each(COMMITTED)('makes nothing of %s with the default provider', async (stack) => {
    const made = (await run(stack)).resources.filter(({ type, custom }) => custom && type.startsWith('aws:'));
    expect(made.length).toBeGreaterThan(50);
    for (const { provider } of made) expect(provider).toContain('pulumi:providers:aws::aws::');
  });

  test.each(COMMITTED)('keeps secrets of %s out of user-data', async (stack) => {
    const { resources } = await run(stack);
    const texts = resources.flatMap(({ inputs }) =>
      [inputs.userData, inputs.userDataBase64].filter(Boolean).map(decode),
    );
    expect(texts.length).toBeGreaterThan(1);
    for (const text of texts) {
      expect(text).toMatch(/^#cloud-config/);
      expect(text).not.toContain('PRIVATE KEY');
      expect(text).not.toContain('certificate of');
    }
  });

  test('protects and retains in prod what holds data or addresses, and nothing that changes with a release', async () => {
    const { resources } = await run('prod');
    const kinds = (chosen: (each: Recorded) => boolean) => [...new Set(resources.filter(chosen).map(kind))].sort();
    expect(kinds(({ protect }) => protect)).toEqual(['Bucket', 'Key', 'NetworkInterface', 'Volume', 'Vpc']);
    expect(kinds(({ retainOnDelete }) => retainOnDelete)).toEqual(expect.arrayContaining(['Bucket', 'Key', 'Volume']));
    const dev = (await run('dev')).resources;
    expect(dev.filter(({ protect }) => protect)).toEqual([]);
    // Objects are content-addressed, and stay for machines that are still rolling.
    expect([...new Set(dev.filter(({ retainOnDelete }) => retainOnDelete).map(kind))]).toEqual(['BucketObjectv2']);
  });

  test('lets a machine boot only when it can reach what it boots from', async () => {
    const { resources } = await run('prod');
    for (const machine of [only(resources, 'Group'), only(resources, 'Instance', 'etcd-etcd-0')]) {
      const names = before(resources, machine);
      const needed = [
        'network-private-0',
        'network-nat-0',
        'network-s3',
        'endpoints-ssm',
        'security-etcd-in-etcd-client',
      ];
      for (const name of needed) expect(names).toContain(name);
    }
    expect(before(resources, only(resources, 'Group'))).toContain('etcd-settled');
    expect(before(resources, only(resources, 'LaunchTemplate'))).toContain('artifacts-node');
  });

  test('gives the addresses of fixed nodes before they are there', async () => {
    const { outputs, resources } = await run('ci');
    expect(outputs.nodes.map(({ name, address }) => [name, address])).toEqual([
      ['node-0', '10.64.0.16'],
      ['node-1', '10.64.8.16'],
    ]);
    expect(count(resources, 'LaunchTemplate')).toBe(0);
  });

  test('has the time to live of ci in the provider, once taken', async () => {
    const { resources } = await run('ci');
    const { inputs } = only(resources, 'aws', 'aws');
    const taken = only(resources, 'Stash', 'expires-4h').inputs.input;
    const { tags } = JSON.parse(inputs.defaultTags as string) as { tags: Record<string, string> };
    expect(tags['flannel:ttl']).toBe(taken);
  });

  test.each([
    ['{"Type":"udp"}', true],
    ['{"Type":"udp","Port":9000}', true],
    ['{"Type":"vxlan"}', true],
    ['{"Type":"vxlan","DirectRouting":true}', false],
  ])('has the source and destination check as %s needs it', async (backend, check) => {
    const fixed = (await run('ci', { backend })).resources;
    const interfaces = fixed.filter((each) => kind(each) === 'NetworkInterface' && each.name.startsWith('node'));
    expect(interfaces.map(({ inputs }) => inputs.sourceDestCheck)).toEqual([check, check]);
    expect(count(fixed, 'SourceDestCheck')).toBe(0);
    const { resources } = await run('dev', { backend });
    const parameter = only(resources, 'Parameter', 'parameter-flannel-node-source-dest-check');
    expect(parameter.inputs).toMatchObject({ insecureValue: check ? 'on' : 'off' });
    const told = only(resources, 'Association', 'source-dest-check');
    expect(told.inputs).toMatchObject({
      targets: [
        { key: 'tag:flannel:stack', values: ['flannel/dev'] },
        { key: 'tag:flannel:role', values: ['node'] },
      ],
    });
    // Off before nodes are told to send packets of pods as they are, on when they have been told not to.
    const settled = only(resources, 'Command', 'etcd-settled');
    const [first, second] = check ? [settled, told] : [told, settled];
    expect(before(resources, second)).toContain(first.name);
    const { inputs } = only(resources, 'LaunchTemplate');
    expect(decode(inputs.userData)).toContain(
      'PARAMETER_SOURCE_DEST_CHECK=/flannel/flannel/dev/node/source-dest-check',
    );
  });

  test('makes the same nodes for another backend: those that run follow it', async () => {
    const userData = async (backend: string) =>
      decode(only((await run('dev', { backend })).resources, 'LaunchTemplate').inputs.userData);
    expect(await userData('{"Type":"vxlan","DirectRouting":true}')).toBe(await userData('{"Type":"udp"}'));
  });

  test('refuses an artifact for other machines', async () => {
    await expect(recordStack('dev', { architecture: 'arm64' })).rejects.toThrow(
      /flannel-1-linux-amd64\.tar\.gz is for amd64 and architecture is arm64: build on a machine of that kind/,
    );
  });

  test('asks for sessions of instance metadata, encrypts volumes and has no key pairs', async () => {
    for (const stack of COMMITTED) {
      const { resources } = await run(stack);
      const machines = resources.filter((each) => ['Instance', 'LaunchTemplate'].includes(kind(each)));
      for (const { inputs } of machines) {
        expect(inputs.metadataOptions).toMatchObject({ httpTokens: 'required', httpPutResponseHopLimit: 1 });
        expect(inputs.keyName).toBeUndefined();
        expect(JSON.stringify(inputs.rootBlockDevice ?? inputs.blockDeviceMappings)).toMatch(/"encrypted":"?true/);
      }
    }
  });
});
