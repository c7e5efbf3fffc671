import { setMaxListeners } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { formatLeaseKey, formatLeaseSubnets, parseLeaseKey, subnetsOf } from '@flannel-ts/flannel/lease';
import { parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import { parseIp } from '@flannel-ts/inet/ip';
import { formatPrefix, parsePrefix } from '@flannel-ts/inet/prefix';
import { pino } from 'pino';
import { type KubeManagerSettings, KubeSubnetManager } from '../../daemon/src/subnet/kube/manager.ts';
import type { KubeOptions } from '../../daemon/src/subnet/kube/settings.ts';
import { KUBE_TIMINGS, type KubeTimings } from '../../daemon/src/subnet/kube/watch.ts';
import {
  CONFIG,
  DUAL_CONFIG,
  describeSubnetManager,
  Follower,
  leaseValue,
  publicIp,
  request,
} from '../../daemon/testing/subnet/compliance.ts';
import { KubeServer, type TestNode } from './support/kube-server.ts';
import { TcpProxy } from './support/tcp-proxy.ts';

jest.setTimeout(30_000);

const PREFIX = 'flannel.alpha.coreos.com';
const at = (name: string) => `${PREFIX}/${name}`;
const QUICK: KubeTimings = {
  ...KUBE_TIMINGS,
  probeMs: 300,
  silenceMs: 30_000,
  retryFirstMs: 50,
  retryMostMs: 200,
  configMs: 50,
};
const never = new AbortController().signal;
setMaxListeners(0, never);

let server: KubeServer;
let log: Record<string, unknown>[] = [];
let configFile: string;
let nodeCount = 0;
const managers: KubeSubnetManager[] = [];
const directory = mkdtempSync(path.join(tmpdir(), 'fltest-kube-conf-'));
const logger = () =>
  pino({ level: 'trace' }, { write: (line: string) => void log.push(JSON.parse(line) as Record<string, unknown>) });
const logged = (text: string) => log.filter((line) => String(line.msg).includes(text)).length;

beforeAll(async () => {
  server = await KubeServer.start();
});
afterAll(async () => {
  await server?.destroy();
  rmSync(directory, { recursive: true, force: true });
});
beforeEach(() => {
  log = [];
  configFile = path.join(directory, `net-conf-${++nodeCount}.json`);
});
afterEach(async () => {
  for (const manager of managers.splice(0)) manager.close();
  for (const { metadata } of await server.nodes()) await server.deleteNode(metadata.name);
});

function managerOf(
  nodeName: string | undefined,
  options: Partial<KubeOptions> = {},
  settings: KubeManagerSettings = {},
): KubeSubnetManager {
  const all: KubeOptions = {
    kubeconfigFile: server.kubeconfig(),
    annotationPrefix: PREFIX,
    netConfigPath: configFile,
    setNetworkUnavailable: true,
    ...(nodeName !== undefined && { nodeName }),
    ...options,
  };
  const manager = new KubeSubnetManager(all, logger(), { timings: QUICK, ...settings });
  managers.push(manager);
  return manager;
}

/** As kube-controller-manager would give them. */
const cidrOf = (n: number) => [`10.5.${n}.0/24`];
const cidrsOf = (n: number) => [...cidrOf(n), `fd00:0:0:${n.toString(16)}::/64`];

const subnetsOfNode = (n: number) => ({ subnet: parsePrefix(`10.5.${n}.0/24`, 4) });

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 30));
}

const annotationsOf = async (name: string) => (await server.node(name)).metadata.annotations ?? {};

describeSubnetManager('kubernetes', 'assigned', async () => {
  let next = 50;
  const ofManagers = new Set<string>();
  const nodeNameOf = (lease: string) => `n-${lease.replace(/[^a-z0-9]+/g, '-')}`;
  const nodeWith = async (lease: string): Promise<TestNode | undefined> => {
    const subnets = parseLeaseKey(lease);
    const cidr = subnets && formatPrefix(subnetsOf(subnets)[0]!);
    return (await server.nodes()).find(({ spec, metadata }) =>
      cidr === undefined ? metadata.name === nodeNameOf(lease) : spec.podCIDR === cidr,
    );
  };
  return {
    manager: () => {
      const name = `node-${++nodeCount}`;
      ofManagers.add(name);
      const cidrs = cidrsOf(next++);
      void server.createNode(name, cidrs); // which is waited for
      return managerOf(name);
    },
    putConfig: async (json) => writeFileSync(configFile, json),
    putLease: async (lease, value) => {
      const subnets = parseLeaseKey(lease);
      const annotations = annotationsFrom(value);
      const existing = await nodeWith(lease);
      if (existing !== undefined) return server.annotate(existing.metadata.name, annotations);
      const cidrs = subnets && subnetsOf(subnets).map(formatPrefix);
      await server.createNode(nodeNameOf(lease), cidrs, annotations);
    },
    removeLease: async (lease) => {
      const { name } = (await nodeWith(lease))!.metadata;
      if (!ofManagers.has(name)) return server.deleteNode(name);
      const names = Object.keys(await annotationsOf(name));
      await server.annotate(name, Object.fromEntries(names.map((key) => [key, null])));
    },
    leases: async () => {
      const managed = (await server.nodes()).filter(
        ({ metadata }) => metadata.annotations?.[at('kube-subnet-manager')],
      );
      return new Map(managed.map((node) => [node.spec.podCIDR!.replace('/', '-'), leaseValueOf(node)]));
    },
    destroy: async () => {},
  };
});

function annotationsFrom(value: string): Record<string, string> {
  let fields: Record<string, unknown> = {};
  try {
    fields = JSON.parse(value) as Record<string, unknown>;
  } catch {}
  return {
    [at('kube-subnet-manager')]: 'true',
    [at('backend-type')]: String(fields.BackendType ?? ''),
    [at('backend-data')]: JSON.stringify(fields.BackendData ?? null),
    [at('public-ip')]: String(fields.PublicIP ?? value),
  };
}

function leaseValueOf({ metadata: { annotations = {} } }: TestNode): string {
  const type = annotations[at('backend-type')];
  const data = annotations[at('backend-data')];
  const rest = `${type ? `,"BackendType":"${type}"` : ''}${data === 'null' ? '' : `,"BackendData":${data}`}`;
  return `{"PublicIP":"${annotations[at('public-ip')]}","PublicIPv6":null${rest}}`;
}

describe('KubeSubnetManager', () => {
  const VXLAN = { backendType: 'vxlan', backendData: { VNI: 1, VtepMAC: 'c6:d2:32:6f:8f:44' } };

  beforeEach(() => writeFileSync(configFile, CONFIG));

  async function joined(name: string, manager = managerOf(name)) {
    return manager.join({ ...(await request(manager, 1)), attributes: { publicIp: publicIp(1), ...VXLAN } }, never);
  }

  test('join() annotates the node byte for byte as flannel does, and leaves other annotations alone', async () => {
    await server.createNode('a', cidrOf(1), { 'example.com/mine': 'x', [at('node-public-ip')]: '192.168.0.1' });
    const { lease } = await joined('a');
    expect(formatLeaseSubnets(lease)).toBe('10.5.1.0/24');
    expect(await annotationsOf('a')).toEqual({
      'example.com/mine': 'x',
      [at('node-public-ip')]: '192.168.0.1',
      [at('backend-data')]: '{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"}',
      [at('backend-type')]: 'vxlan',
      [at('kube-subnet-manager')]: 'true',
      [at('public-ip')]: '192.168.0.1',
    });
  });

  test('join() of a dual-stack network publishes both families, whichever podCIDR comes first', async () => {
    writeFileSync(configFile, DUAL_CONFIG);
    await server.createNode('a', cidrsOf(1).reverse());
    const manager = managerOf('a');
    const asked = await request(manager, 1);
    const attributes = {
      ...VXLAN,
      publicIp: publicIp(1),
      publicIpv6: parseIp('fd99::1'),
      backendV6Data: { VNI: 1, VtepMAC: '0a:d2:32:6f:8f:44' },
    };
    const { lease } = await manager.join({ ...asked, attributes }, never);
    expect(formatLeaseKey(lease)).toBe('10.5.1.0-24&fd00:0:0:1::-64');
    expect(await annotationsOf('a')).toMatchObject({
      [at('backend-v6-data')]: '{"VNI":1,"VtepMAC":"0a:d2:32:6f:8f:44"}',
      [at('public-ipv6')]: 'fd99::1',
    });
    const follower = new Follower(managerOf('a'));
    await follower.until((table) => table.size === 1);
    expect([...follower.table.values()]).toEqual([lease]);
    await follower.stop();
  });

  test('join() waits for the podCIDR, and says what it waits for', async () => {
    await server.createNode('a');
    const manager = managerOf('a');
    const reasons: (string | undefined)[] = [];
    const asked = { ...(await request(manager, 1)), report: (reason?: string) => void reasons.push(reason) };
    const joining = manager.join(asked, never);
    await until(() => reasons.length > 1);
    expect(reasons[0]).toContain(
      'no podCIDR: run kube-controller-manager with --allocate-node-cidrs and --cluster-cidr 10.5.0.0/16',
    );
    await server.request(
      'PATCH',
      '/api/v1/nodes/a',
      { spec: { podCIDR: '10.5.9.0/24', podCIDRs: ['10.5.9.0/24'] } },
      'application/merge-patch+json',
    );
    expect(formatLeaseSubnets((await joining).lease)).toBe('10.5.9.0/24');
    expect(logged('Waiting for the subnet of this node')).toBe(1);
  });

  test('join() annotates a node without any annotation', async () => {
    await server.createNode('a', cidrOf(1));
    expect((await server.node('a')).metadata.annotations).toBeUndefined();
    await joined('a');
    expect(await annotationsOf('a')).toMatchObject({ [at('kube-subnet-manager')]: 'true' });
  });

  test('join() waits for a node that is not there, and refuses a podCIDR outside of the network', async () => {
    const manager = managerOf('a');
    const reasons: (string | undefined)[] = [];
    const asked = { ...(await request(manager, 1)), report: (reason?: string) => void reasons.push(reason) };
    const joining = manager.join(asked, never);
    await until(() => reasons.length > 0);
    expect(reasons[0]).toContain('Kubernetes knows no node a');
    await server.createNode('a', ['10.77.1.0/24']);
    await expect(joining).rejects.toThrow('outside of the network 10.5.0.0/16');
  });

  test('join() says which right is missing, and goes on when it was given', async () => {
    await server.createNode('a', cidrOf(1));
    const manager = managerOf('a', { kubeconfigFile: server.kubeconfig(server.limitedToken) });
    const reasons: (string | undefined)[] = [];
    const asked = { ...(await request(manager, 1)), report: (reason?: string) => void reasons.push(reason) };
    const joining = manager.join(asked, never);
    await until(() => reasons.length > 0);
    expect(reasons[0]).toContain('refused /api/v1/nodes/a with 403');
    await server.request('POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
      metadata: { name: 'limited' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [{ kind: 'User', name: 'limited', apiGroup: 'rbac.authorization.k8s.io' }],
    });
    await joining;
    await server.request('DELETE', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/limited');
  });

  test('an overwritten public address is what others are told, and a later change of it, too', async () => {
    await server.createNode('a', cidrOf(1), { [at('public-ip-overwrite')]: '198.51.100.7' });
    const membership = await joined('a');
    expect(membership.lease.attributes.publicIp).toBe(parseIp('198.51.100.7'));
    expect(await annotationsOf('a')).toMatchObject({ [at('public-ip')]: '198.51.100.7' });
    const stop = new AbortController();
    const holding = membership.hold(stop.signal, () => {});
    await server.annotate('a', { [at('public-ip-overwrite')]: '198.51.100.8' });
    await until(async () => (await annotationsOf('a'))[at('public-ip')] === '198.51.100.8');
    await server.annotate('a', { [at('public-ip-overwrite')]: null });
    await until(async () => (await annotationsOf('a'))[at('public-ip')] === '192.168.0.1');
    stop.abort();
    await holding;
  });

  test('ownAddresses() is what an operator chose for the node', async () => {
    await server.createNode('a', cidrOf(1), {
      [at('node-public-ip')]: '192.0.2.9',
      [at('node-public-ipv6')]: 'fd99::9',
    });
    expect(await managerOf('a').ownAddresses(never)).toEqual({
      publicIp: parseIp('192.0.2.9'),
      publicIpv6: parseIp('fd99::9'),
    });
  });

  test('networks with different prefixes do not see each other', async () => {
    await server.createNode('a', cidrOf(1));
    await server.createNode('b', cidrOf(2));
    await joined('a', managerOf('a', { annotationPrefix: 'one.example/x' }));
    await joined('b', managerOf('b', { annotationPrefix: 'two.example' }));
    const follower = new Follower(managerOf('c', { annotationPrefix: 'two.example' }));
    await follower.until((table) => table.size === 1);
    expect([...follower.table.values()].map(formatLeaseSubnets)).toEqual(['10.5.2.0/24']);
    expect(Object.keys(await annotationsOf('a'))).toContain('one.example/x-backend-type');
    await follower.stop();
  });

  test('a change of one family alone reaches the other nodes', async () => {
    writeFileSync(configFile, DUAL_CONFIG);
    const data = (n: number) => JSON.stringify({ VNI: 1, VtepMAC: `0a:d2:32:6f:8f:4${n}` });
    await server.createNode('b', cidrsOf(2), {
      ...annotationsFrom(leaseValue(2, ',"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"}')),
      [at('public-ipv6')]: 'fd99::2',
      [at('backend-v6-data')]: data(1),
    });
    const follower = new Follower(managerOf('a'));
    await follower.until((table) => table.size === 1);
    await server.annotate('b', { [at('backend-v6-data')]: data(2) });
    await follower.until((table) =>
      [...table.values()].some(({ attributes }) => JSON.stringify(attributes.backendV6Data) === data(2)),
    );
    await follower.stop();
  });

  test('peers() tells only what is about leases', async () => {
    await server.createNode('b', cidrOf(2), annotationsFrom(leaseValue(2)));
    const follower = new Follower(managerOf('a'));
    await follower.until((table) => table.size === 1);
    await server.annotate('b', { 'example.com/heartbeat': '1' });
    await server.createNode('c', cidrOf(3));
    await server.createNode('d', cidrOf(4), annotationsFrom(leaseValue(4)));
    await follower.until((table) => table.size === 2);
    expect(follower.batches).toHaveLength(2);
    await follower.stop();
  });

  test('a node that was removed and came again with another podCIDR has one lease', async () => {
    await server.createNode('b', cidrOf(2), annotationsFrom(leaseValue(2)));
    const follower = new Follower(managerOf('a'));
    await follower.until((table) => table.size === 1);
    await server.deleteNode('b');
    await server.createNode('b', cidrOf(7), annotationsFrom(leaseValue(2)));
    await follower.until((table) => table.get(subnetsOfNode(7)) !== undefined && table.size === 1);
    await follower.stop();
  });

  test('hold() annotates a node that was removed and registered again, and says so while it is away', async () => {
    await server.createNode('a', cidrOf(1));
    const membership = await joined('a');
    const before = await annotationsOf('a');
    const stop = new AbortController();
    let trouble: string | undefined;
    const holding = membership.hold(stop.signal, (reason) => {
      trouble = reason;
    });
    await server.deleteNode('a');
    await until(() => trouble?.includes('was removed from Kubernetes') === true);
    await server.createNode('a', cidrOf(1));
    await until(async () => (await annotationsOf('a'))[at('public-ip')] === '192.168.0.1');
    expect(await annotationsOf('a')).toEqual(before);
    await until(() => trouble === undefined);
    stop.abort();
    await holding;
  });

  test('hold() ends when the node came again with another podCIDR', async () => {
    await server.createNode('a', cidrOf(1));
    const membership = await joined('a');
    const holding = membership.hold(never, () => {});
    const failing = expect(holding).rejects.toMatchObject({ code: 'LEASE_TAKEN' });
    await server.deleteNode('a');
    await server.createNode('a', cidrOf(9));
    await failing;
    await expect(holding).rejects.toThrow('another podCIDR, 10.5.9.0/24 instead of 10.5.1.0/24');
  });

  test('hold() sets NetworkUnavailable as flannel does, and true with the reason while the node does not serve', async () => {
    await server.createNode('a', cidrOf(1));
    const membership = await joined('a');
    const stop = new AbortController();
    const holding = membership.hold(stop.signal, () => {});
    const condition = async () =>
      (await server.node('a')).status?.conditions?.find(({ type }) => type === 'NetworkUnavailable');
    membership.serving?.(true);
    await until(async () => (await condition())?.status === 'False');
    expect(await condition()).toMatchObject({ reason: 'FlannelIsUp', message: 'Flannel is running on this node' });
    membership.serving?.(false, 'engine: died');
    await until(async () => (await condition())?.status === 'True');
    expect(await condition()).toMatchObject({ message: 'engine: died' });
    membership.serving?.(true);
    await until(async () => (await condition())?.status === 'False');
    // A cloud's controller says otherwise at the node's start.
    const theirs = { type: 'NetworkUnavailable', status: 'True', reason: 'NoRouteCreated' };
    await server.request(
      'PATCH',
      '/api/v1/nodes/a/status',
      { status: { conditions: [theirs] } },
      'application/strategic-merge-patch+json',
    );
    await until(async () => (await condition())?.reason === 'FlannelIsUp');
    stop.abort();
    await holding;
  });

  test('publish() resolves when the node says what it should', async () => {
    await server.createNode('a', cidrOf(1));
    const membership = await joined('a');
    const stop = new AbortController();
    const holding = membership.hold(stop.signal, () => {});
    await membership.publish({ ...VXLAN, publicIp: publicIp(8) }, never);
    expect(await annotationsOf('a')).toMatchObject({ [at('public-ip')]: '192.168.0.8' });
    // Of another backend, nothing is left.
    await membership.publish({ publicIpv6: parseIp('fd99::8'), backendType: 'host-gw' }, never);
    await membership.publish({ publicIp: publicIp(8), backendType: 'host-gw' }, never);
    expect(await annotationsOf('a')).toEqual({
      [at('backend-data')]: 'null',
      [at('backend-type')]: 'host-gw',
      [at('kube-subnet-manager')]: 'true',
      [at('public-ip')]: '192.168.0.8',
    });
    stop.abort();
    await holding;
  });

  test('peers() lists in pages', async () => {
    for (let n = 1; n <= 7; n++) await server.createNode(`n${n}`, cidrOf(n), annotationsFrom(leaseValue(n)));
    const follower = new Follower(managerOf('a', {}, { timings: { ...QUICK, pageSize: 3 } }));
    await follower.until(() => true);
    expect(follower.table.size).toBe(7);
    await follower.stop();
  });

  test('a pod in the cluster reaches the API server with its token, which is read again for each request', async () => {
    await server.createNode('a', cidrOf(1));
    const account = mkdtempSync(path.join(directory, 'account-'));
    writeFileSync(path.join(account, 'ca.crt'), server.ca);
    writeFileSync(path.join(account, 'token'), 'expired\n');
    const manager = new KubeSubnetManager(
      {
        annotationPrefix: PREFIX,
        netConfigPath: configFile,
        nodeName: 'a',
        setNetworkUnavailable: false,
        service: { host: '127.0.0.1', port: String(server.port) },
      },
      logger(),
      { timings: QUICK, serviceAccountDir: account },
    );
    managers.push(manager);
    const joining = joined('a', manager);
    await until(() => logged('401') > 0);
    writeFileSync(path.join(account, 'token'), 'fltest-admin\n');
    expect(formatLeaseSubnets((await joining).lease)).toBe('10.5.1.0/24');
  });

  test('a pod finds its node by its own name', async () => {
    await server.createNode('a', cidrOf(1));
    await server.request('POST', '/api/v1/namespaces/default/pods', {
      metadata: { name: 'flannel-x' },
      spec: { nodeName: 'a', containers: [{ name: 'c', image: 'none' }] },
    });
    const { lease } = await joined('a', managerOf(undefined, { pod: { name: 'flannel-x', namespace: 'default' } }));
    expect(formatLeaseSubnets(lease)).toBe('10.5.1.0/24');
    await server.request('DELETE', '/api/v1/namespaces/default/pods/flannel-x?gracePeriodSeconds=0');
  });

  test('a changed config file is followed', async () => {
    const manager = managerOf('a');
    const stop = new AbortController();
    const troubles: (string | undefined)[] = [];
    const configs = manager
      .config(stop.signal, (trouble) => void troubles.push(trouble?.sentence))
      [Symbol.asyncIterator]();
    expect((await configs.next()).value).toEqual(parseNetworkConfig(CONFIG));
    const changed = configs.next();
    writeFileSync(configFile, '{}');
    await until(() => logged('The changed network config has no effect') === 1);
    writeFileSync(configFile, DUAL_CONFIG);
    expect((await changed).value).toEqual(parseNetworkConfig(DUAL_CONFIG));
    expect(troubles).toEqual([undefined, expect.stringContaining(`in ${configFile} cannot be used: `), undefined]);
    stop.abort();
  });
});

describe('KubeSubnetManager without its API server', () => {
  let own: KubeServer;
  const ownOptions = () => ({ kubeconfigFile: own.kubeconfig() });
  let shared: KubeServer;

  beforeAll(async () => {
    own = await KubeServer.start();
  });
  afterAll(() => own?.destroy());
  beforeEach(() => {
    shared = server;
    server = own;
    writeFileSync(configFile, CONFIG);
  });
  afterEach(async () => {
    own.resume();
    for (const { metadata } of await own.nodes()) await own.deleteNode(metadata.name);
    server = shared;
  });

  test('peers() resumes where it was when the server is back, without a new list', async () => {
    const proxy = await TcpProxy.start(own.port);
    const follower = new Follower(managerOf('a', { apiUrl: proxy.endpoint.replace('http:', 'https:') }));
    await follower.until(() => true);
    proxy.cut();
    await until(() => logged('Lost the watch') > 0);
    await own.createNode('b', cidrOf(2), annotationsFrom(leaseValue(2)));
    proxy.mend();
    await follower.until((table) => table.size === 1);
    expect(follower.batches.map(({ kind }) => kind)).toEqual(['snapshot', 'changes']);
    await follower.stop();
    await proxy.close();
  });

  test('peers() lists anew when the server no longer knows the place, and tells what is gone', async () => {
    await own.createNode('b', cidrOf(2), annotationsFrom(leaseValue(2)));
    const follower = new Follower(
      managerOf('a', ownOptions(), { timings: { ...QUICK, retryFirstMs: 500, retryMostMs: 500 } }),
    );
    await follower.until((table) => table.size === 1);
    await own.stop();
    await until(() => logged('Lost the watch') > 0);
    // Behind its back: the store has gone on, and forgotten.
    own.etcd.etcdctl('del', '/registry/minions/b');
    own.etcd.compact();
    await own.start();
    await own.createNode('c', cidrOf(3), annotationsFrom(leaseValue(3)));
    await follower.until((table) => table.size === 1 && table.get(subnetsOfNode(3)) !== undefined);
    expect(logged('Cannot resume, listing anew')).toBeGreaterThan(0);
    await follower.stop();
  });

  test('peers() notices a server that says nothing, and goes on when it speaks again', async () => {
    const manager = managerOf('a', ownOptions(), { timings: { ...QUICK, silenceMs: 1500, probeMs: 600_000 } });
    const follower = new Follower(manager);
    await follower.until(() => true);
    await own.createNode('c', cidrOf(3), annotationsFrom(leaseValue(3)));
    await follower.until((table) => table.size === 1); // so that the watch is open
    own.pause();
    await until(() => logged('said nothing on a watch') > 0);
    expect(manager.statistics().silentMs).toBeGreaterThan(1000);
    own.resume();
    await own.createNode('d', cidrOf(4), annotationsFrom(leaseValue(4)));
    await follower.until((table) => table.get(subnetsOfNode(4)) !== undefined);
    await follower.stop();
  });

  test('a start without the server serves with what the last run kept, and writes it when the server is back', async () => {
    const file = path.join(directory, `state-${nodeCount}.json`);
    const settings = { keptState: { file }, keptAfterMs: 300 };
    await own.createNode('e', cidrOf(5));
    const manager = managerOf('e', ownOptions(), settings);
    await manager.join(await request(manager, 1), never);
    const follower = new Follower(manager);
    await follower.until((table) => table.size > 0);
    await follower.stop();
    manager.close();
    await own.stop();
    const again = managerOf('e', ownOptions(), settings);
    const asked = await request(again, 6);
    expect(await again.ownAddresses(never)).toEqual({});
    const membership = await again.join(asked, never);
    expect(formatLeaseSubnets(membership.lease)).toBe('10.5.5.0/24');
    const serving = new Follower(again);
    await serving.until((table) => table.get(subnetsOfNode(5)) !== undefined);
    expect(again.statistics().servesKept).toBe(true);
    const stop = new AbortController();
    const holding = membership.hold(stop.signal, () => {});
    await own.start();
    await until(async () => (await own.node('e')).metadata.annotations?.[at('public-ip')] === '192.168.0.6');
    stop.abort();
    await holding;
    await serving.stop();
  });
});
