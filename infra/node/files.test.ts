import { etcdBoot, etcdInitialCluster, etcdSecrets, nodeBoot, nodeSecrets, podAllocations } from './files.ts';

const ROOT = '/var/lib/flannel-local/dev/nodes/node-0';

describe('nodeBoot()', () => {
  const node = { root: ROOT, etcdEndpoints: ['https://10.64.0.4:2379', 'https://10.64.0.5:2379'], interface: 'eth0' };

  test('is what a node boots with', () => {
    expect(nodeBoot(node)).toMatchSnapshot();
  });

  test('has a health endpoint, with the addresses of the same store as the pods', () => {
    const { files } = nodeBoot(node);
    const [environment, conflist] = files.map(({ content }) => content);
    const directory = `${ROOT}/var/lib/cni/networks`;
    expect(environment).toContain(`FLANNELD_HEALTH_ENDPOINT=true\nFLANNELD_HOST_LOCAL_DIR=${directory}\n`);
    const list = JSON.parse(conflist!);
    expect(list.plugins[0].ipam.dataDir).toBe(directory);
    expect(podAllocations(ROOT)).toBe(`${directory}/${list.name}`);
  });

  test('has the paths of a machine of its own when the root is empty', () => {
    const { files, unit } = nodeBoot({ ...node, root: '' });
    expect(files.map(({ path }) => path)).toEqual(['/etc/flannel/flanneld.env', '/etc/cni/net.d/10-flannel.conflist']);
    expect(unit.command).toEqual(['/opt/flannel/current/flanneld']);
    expect(JSON.stringify({ files, unit })).not.toContain('//etc');
  });

  test('lets the plugin leave a process behind only on a machine of its own', () => {
    const residentOf = (root: string) => JSON.parse(nodeBoot({ ...node, root }).files[1]!.content).plugins[0].resident;
    expect(residentOf(ROOT)).toBe(false);
    expect(residentOf('')).toBeUndefined();
  });
});

describe('etcdBoot()', () => {
  test('is what an etcd member boots with', () => {
    expect(etcdBoot({ root: ROOT, name: 'etcd-0', address: '10.64.0.4' })).toMatchSnapshot();
  });
});

describe('etcdInitialCluster()', () => {
  test('names all members', () => {
    const members = [0, 1].map((i) => ({ name: `etcd-${i}`, peerUrl: `https://10.64.0.${4 + i}:2380` }));
    expect(etcdInitialCluster('new', members)).toBe(
      'ETCD_INITIAL_CLUSTER=etcd-0=https://10.64.0.4:2380,etcd-1=https://10.64.0.5:2380\nETCD_INITIAL_CLUSTER_STATE=new\n',
    );
  });
});

describe('secrets', () => {
  const pair = (name: string) => ({ certificate: `${name} certificate`, key: `${name} key` });

  test('nodeSecrets() lets only root read the key', () => {
    expect(nodeSecrets(ROOT, 'ca', pair('client'))).toEqual([
      { path: `${ROOT}/etc/flannel/tls/ca.crt`, mode: '0644', content: 'ca' },
      { path: `${ROOT}/etc/flannel/tls/client.crt`, mode: '0644', content: 'client certificate' },
      { path: `${ROOT}/etc/flannel/tls/client.key`, mode: '0600', content: 'client key' },
    ]);
  });

  test('etcdSecrets() writes a pair for each purpose', () => {
    const files = etcdSecrets(ROOT, 'ca', { server: pair('server'), peer: pair('peer'), admin: pair('admin') });
    expect(files.map(({ path }) => path.slice(`${ROOT}/etc/etcd/tls/`.length))).toEqual([
      'ca.crt',
      'server.crt',
      'server.key',
      'peer.crt',
      'peer.key',
      'admin.crt',
      'admin.key',
    ]);
    expect(files.filter(({ mode }) => mode === '0600').every(({ path }) => path.endsWith('.key'))).toBe(true);
  });
});
