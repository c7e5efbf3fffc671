import { type EtcdUserData, etcdUserData, type NodeUserData, nodeUserData } from './userdata.ts';

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
    ca: '/flannel/dev/etcd/client-ca',
    certificate: '/flannel/dev/etcd/flanneld',
    key: '/flannel/dev/etcd/flanneld-key',
  },
  disableSourceDestCheck: false,
};

describe('nodeUserData()', () => {
  test('is what a node boots with', () => {
    expect(nodeUserData(node)).toMatchSnapshot();
  });
});

const PARAMETERS = ['clientCa', 'peerCa', 'server', 'serverKey', 'peer', 'peerKey', 'admin', 'adminKey'] as const;

const member: EtcdUserData = {
  stack: 'prod',
  region: 'eu-central-1',
  name: 'etcd-0',
  address: '10.64.27.10',
  members: [0, 1, 2].map((i) => ({ name: `etcd-${i}`, address: `10.64.${27 + i}.10` })),
  artifact: { bucket: 'flannel-prod-artifacts', key: `etcd/${'b'.repeat(64)}/etcd.tar.gz`, sha256: 'b'.repeat(64) },
  parameters: Object.fromEntries(PARAMETERS.map((name) => [name, `/flannel/prod/etcd/etcd-0/${name}`])) as never,
  networkConfig: { parameter: '/flannel/prod/etcd/network' },
  dataDevice: '/dev/sdf',
  volumeId: 'vol-0123456789abcdef0',
  snapshots: { bucket: 'flannel-prod-snapshots', prefix: 'etcd' },
};

describe('etcdUserData()', () => {
  test('is what an etcd member boots with', () => {
    expect(etcdUserData(member)).toMatchSnapshot();
  });
});
