/** A cluster through its life: up, talk, break and heal, scale, down. */
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { machineRoot } from '../../infra/local/names.ts';
import { kubectlCommand } from '../../tools/src/commands/cluster.ts';
import { cli, cliOk, hostNetwork, run, stackName, until } from '../e2e/support.ts';
import { Cluster, type Pod } from './support.ts';

jest.setTimeout(300_000);

const cluster = new Cluster(stackName('k8s'));
const { stack } = cluster;
const before = hostNetwork();
const NODES = ['node-0', 'node-1', 'node-2'];
const NODE_PORT = 30080;
const addressOf = (node: string) => `10.64.0.${16 + NODES.indexOf(node)}`;
let pods: readonly Pod[] = [];
/** Below those that the kernel gives to connections; other tests run beside this one. */
const PORT = 20_000 + 2 * (process.pid % 5_000);
const directory = mkdtempSync(join(tmpdir(), 'fltest-k8s-'));
const kubeconfig = join(directory, 'config');
const OTHER = { name: 'other', cluster: { server: 'https://other.example' } };

beforeAll(async () => {
  process.env.KUBECONFIG = kubeconfig;
  writeFileSync(kubeconfig, JSON.stringify({ clusters: [OTHER], 'current-context': 'other' }));
  const settings = join(directory, 'settings.yaml');
  const publish = [`${PORT}:hello:80`, `${PORT + 1}:${NODE_PORT}`];
  writeFileSync(settings, JSON.stringify({ kubernetes: true, demo: true, nodes: 3, publish }));
  await cliOk('up', '--stack', stack, '--file', settings, '--wait', '120');
  pods = await cluster.pods('app=hello');
});

afterAll(async () => {
  await cli('down', '--stack', stack);
  delete process.env.KUBECONFIG;
  rmSync(directory, { recursive: true });
});

/** As somebody on this machine who has kubectl. */
async function nodesByKubeconfig(): Promise<string[]> {
  const program = kubectlCommand(stack).find((word) => word.endsWith('/kubectl'))!;
  const { stdout } = await run([program, `--context=flannel-${stack}`, 'get', 'nodes', '--output=name']);
  return stdout.trim().split('\n');
}

const unanswered = () => cluster.unanswered(pods);

test('up ends when all nodes are Ready, with a pod of the demo on each', () => {
  expect(pods.map(({ node }) => node)).toEqual(NODES);
});

test('pods of every node reach each other by TCP and UDP', async () => {
  expect(await unanswered()).toEqual([]);
});

test.each(NODES)(
  'a pod on %s reaches the service by its name, its address and the port of every node, by TCP and UDP',
  async (node) => {
    const from = pods.find((pod) => pod.node === node)!;
    const service = await cluster.get<{ spec: { clusterIP: string } }>('service/hello');
    const targets = [
      ...['hello:80', 'hello.default.svc.cluster.local:80', `${service.spec.clusterIP}:80`],
      ...NODES.map((each) => `${addressOf(each)}:${NODE_PORT}`),
    ];
    for (const protocol of ['http', 'udp'] as const) {
      const answers = await Promise.all(targets.map((target) => cluster.ask(from, protocol, target)));
      expect(answers.filter((answer) => !/^hello-\S+ on node-\d /.test(answer))).toEqual([]);
    }
  },
);

test.each([PORT, PORT + 1])('port %i of this machine leads to the service', async (port) => {
  const response = await fetch(`http://127.0.0.1:${port}`, { signal: AbortSignal.timeout(20_000) });
  expect(await response.text()).toMatch(/^hello-\S+ on node-\d /);
});

test('the kubeconfig is merged into what is there, and leads into the cluster', async () => {
  await cliOk('kubeconfig', '--stack', stack, 'merge');
  expect(await nodesByKubeconfig()).toEqual(NODES.map((node) => `node/${node}`));
});

test('the host of the pod and other nodes reach a port that the pod has on its node, until it goes', async () => {
  const ports = [{ containerPort: 8080, hostPort: 9000, protocol: 'TCP' }];
  await cluster.applyPod('ported', 'node-1', { ports, env: [{ name: 'NODE', value: 'node-1' }] });
  await cluster.ready('pod/ported');
  for (const from of pods) {
    expect(await cluster.ask(from, 'http', `${addressOf('node-1')}:9000`)).toContain('ported on node-1');
  }
  await cluster.kubectl('delete', 'pod/ported');
  await expect(cluster.ask(pods[0]!, 'http', `${addressOf('node-1')}:9000`)).rejects.toThrow();
});

test('pods that come while containerd is killed become ready, and leave nothing when they go', async () => {
  const held = await cluster.holdings('node-2');
  const names = [0, 1, 2, 3, 4, 5].map((i) => `many-${i}`);
  const starting = Promise.all(names.map((name) => cluster.applyPod(name, 'node-2')));
  for (let i = 0; i < 2; i++) {
    const pid = await cluster.pidOf('node-2', 'containerd');
    await cluster.on('node-2', 'kill', '-KILL', String(pid));
    await until('containerd is another', async () => (await cluster.pidOf('node-2', 'containerd')) !== pid);
  }
  await starting;
  await Promise.all(names.map((name) => cluster.ready(`pod/${name}`, 90)));
  await cluster.kubectl('delete', 'pod', ...names);
  const same = async () => JSON.stringify(await cluster.holdings('node-2')) === JSON.stringify(held);
  await until(`node-2 holds what it held (${JSON.stringify(held)})`, same, 90);
});

test('a node without the list of its network is not Ready, keeps its pods, and is Ready when the list is back', async () => {
  const list = join(machineRoot(stack, 'node-1'), 'etc/cni/kubernetes.d/10-flannel.conflist');
  const hidden = `${list}.hidden`;
  renameSync(list, hidden);
  try {
    await until('node-1 is not Ready', async () => !(await cluster.isReady('node-1')), 60);
    expect(await unanswered()).toEqual([]);
  } finally {
    renameSync(hidden, list);
  }
  await until('node-1 is Ready', () => cluster.isReady('node-1'), 60);
});

test('pods talk while kubelet and flanneld are killed', async () => {
  const kubelet = await cluster.pidOf('node-0', 'kubelet');
  const flanneld = await cluster.pidOf('node-0', 'flanneld');
  await cluster.on('node-0', 'kill', '-KILL', String(kubelet));
  process.kill(flanneld, 'SIGKILL');
  const back = async () =>
    (await cluster.pidOf('node-0', 'kubelet')) !== kubelet && (await cluster.pidOf('node-0', 'flanneld')) !== flanneld;
  await until('kubelet and flanneld are back', back);
  await until('all pods answer', async () => (await unanswered()).length === 0, 60);
});

test('a node whose power went off is brought back by up, and its pods talk', async () => {
  cluster.cutPower('node-2');
  await cliOk('up', '--stack', stack);
  await until(
    'the pod on node-2 runs again',
    async () => {
      pods = await cluster.pods('app=hello');
      return pods.length === 3 && (await unanswered()).length === 0;
    },
    90,
  );
});

test('a cluster that was stopped is as it was when it is started', async () => {
  await cluster.kubectl('create', 'configmap', 'kept', '--from-literal=a=b');
  await cliOk('stop', '--stack', stack);
  expect(cluster.remains().filter((line) => !line.startsWith('directory') && !line.startsWith('stack file'))).toEqual(
    [],
  );
  await cliOk('start', '--stack', stack);
  expect(await cluster.get('configmap/kept')).toMatchObject({ data: { a: 'b' } });
  expect(await nodesByKubeconfig()).toHaveLength(3);
  await until(
    'all pods answer',
    async () => {
      pods = await cluster.pods('app=hello');
      return pods.length === 3 && (await unanswered()).length === 0;
    },
    90,
  );
});

test('a node that is taken away is forgotten, and a port that is given up leads nowhere', async () => {
  await cliOk('up', '--stack', stack, '--nodes', '2', '--publish', `${PORT + 1}:${NODE_PORT}`);
  await expect(fetch(`http://127.0.0.1:${PORT}`)).rejects.toThrow();
  const { items } = await cluster.get<{ items: readonly { metadata: { name: string } }[] }>('nodes');
  expect(items.map(({ metadata }) => metadata.name)).toEqual(['node-0', 'node-1']);
});

test('down leaves nothing, and the network of the host is as it was', async () => {
  await cliOk('down', '--stack', stack);
  expect(cluster.remains()).toEqual([]);
  expect(hostNetwork()).toEqual(before);
  await expect(fetch(`http://127.0.0.1:${PORT + 1}`)).rejects.toThrow();
  const { clusters, contexts } = parse(readFileSync(kubeconfig, 'utf8'));
  expect([clusters, contexts]).toEqual([[OTHER], []]);
  expect(existsSync(machineRoot(stack, 'node-0'))).toBe(false);
});
