import { type NodeUserData, nodeUserData } from './userdata.ts';

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
