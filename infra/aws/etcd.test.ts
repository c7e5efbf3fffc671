import { parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import * as pulumi from '@pulumi/pulumi';
import type { EtcdArgs } from './contract.ts';

/** What was registered, as the mocks of AWS and of TLS saw it. */
interface Registered {
  readonly type: string;
  readonly name: string;
  readonly inputs: pulumi.runtime.MockResourceArgs['inputs'];
}

let registered: Registered[];
let etcd: typeof import('./etcd.ts');
let backup: typeof import('./backup.ts');

async function begin() {
  registered = [];
  await pulumi.runtime.setMocks(
    {
      newResource({ type, name, inputs }) {
        registered.push({ type, name, inputs });
        return { id: `${name}-id`, state: { ...inputs, ...generated(name) } };
      },
      call: () => ({}),
    },
    'flannel',
    'prod',
  );
  etcd = await import('./etcd.ts');
  backup = await import('./backup.ts');
}

function generated(name: string): Record<string, string> {
  return {
    privateKeyPem: `${name} private key`,
    certPem: `${name} certificate`,
    certRequestPem: `${name} request`,
    bucket: `${name}-bucket`,
    arn: `arn:${name}`,
  };
}

const args: EtcdArgs = {
  stack: 'prod',
  region: 'eu-central-1',
  machines: {
    role: 'etcd',
    architecture: 'arm64',
    instanceType: 't4g.small',
    imageId: 'ami-0123456789abcdef0',
    imageAsked: false,
    securityGroupId: 'sg-etcd',
    instanceProfile: 'etcd-profile',
  },
  members: ['a', 'b', 'c'].map((zone, i) => ({
    name: `etcd-${i}`,
    zone: `eu-central-1${zone}`,
    subnetId: `subnet-${zone}`,
    address: `10.64.${27 + i}.10`,
  })),
  artifact: { bucket: 'artifacts', key: 'etcd/abc/etcd.tar.gz', sha256: 'a'.repeat(64) },
  network: parseNetworkConfig('{"Network":"10.244.0.0/16","Backend":{"Type":"udp"}}'),
  keyArn: 'arn:aws:kms:eu-central-1:1:key/k',
  snapshots: { bucket: 'snapshots', prefix: 'etcd' },
  data: { protect: true, retainData: true, forceDestroy: false },
  tags: { 'flannel:stack': 'prod' },
};

async function make(changes: Partial<EtcdArgs> = {}) {
  await begin();
  const made = new etcd.FlannelEtcd('etcd', { ...args, ...changes });
  await pulumi.runtime.disconnect();
  return made;
}

function all(type: string, among: readonly Registered[] = registered): readonly Registered[] {
  return among.filter((resource) => resource.type === type);
}

const userDataOf = ({ inputs }: Registered) => Buffer.from(inputs.userDataBase64, 'base64').toString();

describe('FlannelEtcd', () => {
  let standard: Awaited<ReturnType<typeof make>>;
  let ofStandard: readonly Registered[];
  beforeAll(async () => {
    standard = await make();
    ofStandard = registered;
  });

  test('has a network interface with its fixed address, a volume and an instance for each member', async () => {
    const { endpoints } = standard;
    expect(endpoints).toEqual([27, 28, 29].map((i) => `https://10.64.${i}.10:2379`));
    const interfaces = all('aws:ec2/networkInterface:NetworkInterface');
    expect(interfaces.map(({ inputs }) => inputs.privateIps)).toEqual([27, 28, 29].map((i) => [`10.64.${i}.10`]));
    const volumes = all('aws:ebs/volume:Volume');
    expect(volumes.map(({ inputs }) => [inputs.availabilityZone, inputs.encrypted, inputs.type])).toEqual(
      ['a', 'b', 'c'].map((zone) => [`eu-central-1${zone}`, true, 'gp3']),
    );
    const instances = all('aws:ec2/instance:Instance');
    expect(instances.map(({ inputs }) => inputs.primaryNetworkInterface.networkInterfaceId)).toEqual(
      [0, 1, 2].map((i) => `etcd-etcd-${i}-id`),
    );
    expect(instances.every(({ inputs }) => inputs.metadataOptions.httpTokens === 'required')).toBe(true);
    expect(userDataOf(instances[1]!)).toContain('VOLUME_ID=etcd-etcd-1-data-id');
  });

  test('begins with a member only when the one before is healthy', async () => {
    const order = registered
      .filter(({ type }) => /:(Instance|Command)$/.test(type))
      .map(({ name }) => name.replace('etcd-etcd', 'etcd'));
    expect(order).toEqual([
      'etcd-0',
      'etcd-0-healthy',
      'etcd-1',
      'etcd-1-healthy',
      'etcd-2',
      'etcd-2-healthy',
      'etcd-settled',
    ]);
  });

  test('gives members and clients authorities of their own', async () => {
    const signed = all('tls:index/locallySignedCert:LocallySignedCert');
    const authorities = signed.map(({ name, inputs }) => [name, inputs.caCertPem]);
    expect(Object.fromEntries(authorities)).toEqual({
      'etcd-clients-admin': 'etcd-clients certificate',
      'etcd-clients-flanneld': 'etcd-clients certificate',
      ...Object.fromEntries([0, 1, 2].map((i) => [`etcd-clients-etcd-${i}`, 'etcd-clients certificate'])),
      ...Object.fromEntries([0, 1, 2].map((i) => [`etcd-peers-etcd-${i}`, 'etcd-peers certificate'])),
    });
    const names = all('tls:index/certRequest:CertRequest').map(({ name, inputs }) => [name, inputs.subject.commonName]);
    expect(Object.fromEntries(names)).toMatchObject({
      'etcd-clients-admin': 'root',
      'etcd-clients-flanneld': 'flanneld',
      'etcd-peers-etcd-2': 'etcd-peer',
    });
  });

  test('keeps every key encrypted in a parameter below the path of its role', async () => {
    const { nodeParameters } = standard;
    const parameters = all('aws:ssm/parameter:Parameter').map(({ inputs }) => inputs);
    const keys = parameters.filter(({ name }) => name.endsWith('key'));
    expect(keys.map(({ name }) => name).sort()).toEqual([
      '/flannel/prod/etcd/admin-key',
      ...[0, 1, 2].flatMap((i) => [`/flannel/prod/etcd/etcd-${i}/peer-key`, `/flannel/prod/etcd/etcd-${i}/server-key`]),
      '/flannel/prod/node/key',
    ]);
    for (const { type, keyId, insecureValue } of keys) {
      expect({ type, keyId, insecureValue }).toEqual({ type: 'SecureString', keyId: args.keyArn });
    }
    expect(parameters.filter((parameter) => JSON.stringify(parameter).includes('private key'))).toHaveLength(
      keys.length,
    );
    expect(nodeParameters.key).toBe('/flannel/prod/node/key');
  });

  test('keeps keys out of user-data and commands, and its own client secret', async () => {
    const { client } = standard;
    for (const resource of [...all('aws:ec2/instance:Instance'), ...all('pulumi-nodejs:dynamic/aws:Command')]) {
      expect(JSON.stringify(resource)).not.toMatch(/private key/);
      if (resource.inputs.userDataBase64) expect(userDataOf(resource)).not.toMatch(/private key|PRIVATE KEY/);
    }
    expect(await pulumi.isSecret(client)).toBe(true);
  });

  test('takes another network configuration without another user-data', async () => {
    await make({ network: parseNetworkConfig('{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}') });
    const texts = (list: readonly Registered[], type: string) =>
      list.filter((resource) => resource.type === type).map(({ inputs }) => JSON.stringify(inputs));
    expect(texts(registered, 'aws:ec2/instance:Instance')).toEqual(texts(ofStandard, 'aws:ec2/instance:Instance'));
    const settled = (list: readonly Registered[]) => list.find(({ name }) => name === 'etcd-settled')?.inputs.script;
    expect(settled(registered)).toMatch(/systemctl start flannel-settle.service$/);
    expect(settled(registered)).not.toBe(settled(ofStandard));
  });

  test('can be a single member', async () => {
    await make({ members: args.members.slice(0, 1) });
    const [instance] = all('aws:ec2/instance:Instance');
    expect(userDataOf(instance!)).toContain('MEMBERS=etcd-0=10.64.27.10\n');
  });
});

describe('EtcdBackup', () => {
  test('lets snapshots expire, and not the mark that there was a cluster', async () => {
    await begin();
    const { folder } = new backup.EtcdBackup('backup', { stack: 'prod', keyArn: args.keyArn, data: args.data });
    await pulumi.runtime.disconnect();
    const [lifecycle] = all('aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration');
    const [rule] = lifecycle!.inputs.rules;
    expect(rule).toMatchObject({ status: 'Enabled', expiration: { days: 30 } });
    expect(rule.filter.prefix).toBe(`${folder.prefix}/snapshots/`);
    expect(`${folder.prefix}/formed`.startsWith(rule.filter.prefix)).toBe(false);
  });
});
