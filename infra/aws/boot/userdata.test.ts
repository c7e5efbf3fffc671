import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import fc from 'fast-check';
import { MAX_USER_DATA_BYTES } from './cloud-config.ts';
import { type EtcdParameter, type EtcdUserData, etcdUserData, type NodeUserData, nodeUserData } from './userdata.ts';

const node: NodeUserData = {
  stack: 'dev',
  region: 'eu-central-1',
  artifact: {
    bucket: 'flannel-dev-artifacts',
    key: `flannel/${'a'.repeat(64)}/flannel.tar.gz`,
    sha256: 'a'.repeat(64),
  },
  etcdEndpoints: ['https://10.64.27.10:2379', 'https://10.64.28.10:2379', 'https://10.64.29.10:2379'],
  parameters: {
    ca: '/flannel/dev/node/ca',
    certificate: '/flannel/dev/node/certificate',
    key: '/flannel/dev/node/key',
  },
  group: {
    sourceDestCheck: '/flannel/dev/node/source-dest-check',
    hooks: { launch: 'flannel-ready', terminate: 'flannel-lease-given-back' },
  },
};

const PARAMETERS = ['clientCa', 'peerCa', 'server', 'serverKey', 'peer', 'peerKey', 'admin', 'adminKey'] as const;

const member: EtcdUserData = {
  stack: 'prod',
  region: 'eu-central-1',
  name: 'etcd-0',
  address: '10.64.27.10',
  members: [0, 1, 2].map((i) => ({ name: `etcd-${i}`, address: `10.64.${27 + i}.10` })),
  artifact: { bucket: 'flannel-prod-artifacts', key: `etcd/${'b'.repeat(64)}/etcd.tar.gz`, sha256: 'b'.repeat(64) },
  parameters: Object.fromEntries(PARAMETERS.map((name) => [name, `/flannel/prod/etcd/etcd-0/${name}`])) as Record<
    EtcdParameter,
    string
  >,
  networkConfig: { parameter: '/flannel/prod/etcd/network' },
  dataDevice: '/dev/sdf',
  volumeId: 'vol-0123456789abcdef0',
  snapshots: { bucket: 'flannel-prod-snapshots', prefix: 'etcd' },
};

/** As long as names can get: of stacks in settings, of buckets in S3, of the stack's parameters, of a five-zone region. */
const LONG = 'x'.repeat(30);
const BUCKET = 'b'.repeat(63);
const longest = {
  node: {
    ...node,
    stack: LONG,
    region: 'ap-southeast-1',
    artifact: { ...node.artifact, bucket: BUCKET },
    group: { ...node.group!, sourceDestCheck: `/flannel/${LONG}/node/source-dest-check` },
    endpoints: { s3: `https://${BUCKET}.example`, ssm: `https://${BUCKET}.example`, ec2: `https://${BUCKET}.example` },
  } satisfies NodeUserData,
  etcd: {
    ...member,
    stack: LONG,
    members: Array.from({ length: 9 }, (_, i) => ({ name: `etcd-${i}`, address: '255.255.255.255' })),
    parameters: Object.fromEntries(
      PARAMETERS.map((name) => [name, `/flannel/${LONG}/etcd/etcd-0/${name}`]),
    ) as EtcdUserData['parameters'],
    networkConfig: `{"Network":"10.244.0.0/16","Backend":{${'x'.repeat(300)}}}`,
    snapshots: { bucket: BUCKET, prefix: 'p'.repeat(60) },
    endpoints: { s3: `https://${BUCKET}.example`, ssm: `https://${BUCKET}.example` },
  } satisfies EtcdUserData,
};

const texts = { node: nodeUserData(node), etcd: etcdUserData(member) };

describe('nodeUserData()', () => {
  test('is what a node boots with', () => {
    expect(texts.node).toMatchSnapshot();
  });

  test('is another one with another artifact or etcd, and else the same', () => {
    const changes: Partial<NodeUserData>[] = [
      { artifact: { ...node.artifact, sha256: 'c'.repeat(64) } },
      { etcdEndpoints: node.etcdEndpoints.slice(1) },
      { group: { ...node.group!, sourceDestCheck: '/flannel/prod/node/source-dest-check' } },
    ];
    const all = changes.map((change) => nodeUserData({ ...node, ...change }));
    expect(new Set([texts.node, ...all]).size).toBe(1 + changes.length);
    expect(nodeUserData({ ...node })).toBe(texts.node);
  });
});

describe('etcdUserData()', () => {
  test('is what an etcd member boots with', () => {
    expect(texts.etcd).toMatchSnapshot();
  });

  test('carries the network configuration where no parameter holds it', () => {
    const network = '{"Network":"10.244.0.0/16"}';
    const text = etcdUserData({ ...member, networkConfig: network });
    expect(text).toContain(
      `  - path: /etc/flannel/network.json\n    permissions: '0644'\n    content: |\n      ${network}\n`,
    );
    expect(text).not.toContain('PARAMETER_NETWORK');
  });

  test('listens for metrics and health on loopback only', () => {
    expect(texts.etcd).toContain('ETCD_LISTEN_METRICS_URLS=http://127.0.0.1:2381\n');
  });
});

describe('user-data', () => {
  test.each(['node', 'etcd'] as const)('of %s stays below what EC2 takes with the longest names there are', (kind) => {
    const text = kind === 'node' ? nodeUserData(longest.node) : etcdUserData(longest.etcd);
    expect(Buffer.byteLength(text)).toBeLessThan(MAX_USER_DATA_BYTES * 0.9);
  });

  test('that EC2 would refuse is refused, with its size and its largest part', () => {
    const network = 'x'.repeat(MAX_USER_DATA_BYTES);
    expect(() => etcdUserData({ ...member, networkConfig: network })).toThrow(
      /^User-data of etcd member etcd-0 of flannel's stack prod is \d+ bytes, EC2 takes 16384: shorten \/etc\/flannel\/network\.json, which is the largest part$/,
    );
  });

  test('has nothing in it but what it was told and what is fixed, and no key among that', () => {
    for (const text of Object.values(texts)) {
      expect(text).not.toMatch(/PRIVATE KEY|BEGIN |AKIA|ASIA|secret_access|password/i);
    }
    // Where nothing secret is given nothing secret can come out: all that varies is in the arguments.
    const name = fc.stringMatching(/^[a-z][a-z0-9]{0,20}$/);
    const property = fc.property(name, name, name, (stack, bucket, parameter) => {
      const varied = nodeUserData({
        ...node,
        stack,
        artifact: { ...node.artifact, bucket },
        parameters: { ca: `/${parameter}/ca`, certificate: `/${parameter}/certificate`, key: `/${parameter}/key` },
      });
      const back = varied
        .replaceAll(`stack ${stack}\n`, 'stack dev\n')
        .replaceAll(`--bucket ${bucket} `, '--bucket flannel-dev-artifacts ')
        .replaceAll(`s3://${bucket}/`, 's3://flannel-dev-artifacts/')
        .replaceAll(`=/${parameter}/`, '=/flannel/dev/node/');
      expect(back).toBe(texts.node);
    });
    fc.assert(property, { numRuns: 50 });
  });

  test('quotes whatever comes from outside for the shell that reads it', () => {
    const text = nodeUserData({ ...node, region: "eu'$(reboot)" });
    const [, value = ''] = /REGION=(.*)/.exec(text) ?? [];
    const { stdout } = spawnSync('bash', ['-c', `REGION=${value}; printf %s "$REGION"`], { encoding: 'utf8' });
    expect(stdout).toBe("eu'$(reboot)");
  });
});

describe('the scripts', () => {
  const hasShellcheck = spawnSync('shellcheck', ['--version']).status === 0;

  test.each(['cloud', 'parameter', 'node-prepare', 'node-bootstrap', 'node-lifecycle', 'flannel-etcd'])(
    '%s is bash, and good bash',
    (name) => {
      const path = join(__dirname, `${name}.sh`);
      expect(spawnSync('bash', ['-n', path], { encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' });
      if (!hasShellcheck) return;
      const { status, stdout } = spawnSync('shellcheck', ['--severity', 'warning', path], { encoding: 'utf8' });
      expect({ status, stdout }).toEqual({ status: 0, stdout: '' });
    },
  );
});
