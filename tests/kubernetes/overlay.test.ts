/** A cluster whose flanneld comes as pods, made by Pulumi's own Kubernetes provider: up, upgrade under traffic, break and heal, down. */
import { cpSync, linkSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { Provider } from '@pulumi/kubernetes';
import * as pulumi from '@pulumi/pulumi';
import { LocalWorkspace, type PulumiFn, type Stack } from '@pulumi/pulumi/automation';
import { Flannel, registerObjects } from '../../infra/kubernetes/flannel.ts';
import type { FlannelSettings, KubernetesObject } from '../../infra/kubernetes/objects.ts';
import { whenReady } from '../../infra/kubernetes/ready.ts';
import { makeContext } from '../../tools/setup/context.mjs';
import { kubernetesDirectory } from '../../tools/setup/kubernetes.mjs';
import { findPulumi } from '../../tools/setup/pulumi.mjs';
import { cli, cliOk, hostNetwork, outputs, REPOSITORY, stackName, until } from '../e2e/support.ts';
import { Cluster, type Pod } from './support.ts';
import { type Report, Traffic } from './traffic.ts';

jest.setTimeout(400_000);

const cluster = new Cluster(stackName('pods'));
const { stack } = cluster;
const before = hostNetwork();
const MACHINES = ['control-0', 'node-0', 'node-1'];
const scratch = mkdtempSync(join(tmpdir(), 'fltest-overlay-'));
let pods: readonly Pod[] = [];

beforeAll(async () => {
  await cliOk('up', '--stack', stack, '--overlay', 'daemonset', '--demo', '--nodes', '2');
  pods = await cluster.pods('app=hello');
});

afterAll(async () => {
  await cli('down', '--stack', stack);
  rmSync(scratch, { recursive: true });
});

interface DaemonSet {
  readonly spec: { readonly template: { readonly spec: { readonly containers: readonly [Container] } } };
  readonly status: { readonly numberReady: number; readonly updatedNumberScheduled: number };
}
interface Container {
  readonly image: string;
  readonly securityContext: object;
}
const daemonSet = () => cluster.get<DaemonSet>('--namespace=kube-flannel', 'daemonset/kube-flannel-ds');
const imageNow = async () => (await daemonSet()).spec.template.spec.containers[0].image;
const flannelPods = () => cluster.podsIn('kube-flannel', 'app=flannel');

/** Runs `work` while pods of both nodes talk. */
async function underTraffic(work: () => Promise<void>): Promise<Report> {
  const [from, to] = pods as [Pod, Pod];
  const traffic = await Traffic.start(cluster.processOf(from), cluster.processOf(to), to.address);
  try {
    await work();
  } catch (error) {
    await traffic.stop().catch(() => {});
    throw error;
  }
  return traffic.stop();
}

/** Measured, for whoever reads the output: a figure of a busy machine proves nothing. */
function tell(what: string, { sent, lost, gapMs }: Report): void {
  process.stdout.write(`${what}: ${lost} of ${sent} packets lost, TCP waited ${gapMs} ms at most\n`);
}

async function untilAllAnswer(seconds = 90): Promise<void> {
  const answer = async () => {
    pods = await cluster.pods('app=hello');
    return pods.length === 2 && (await cluster.unanswered(pods)).length === 0;
  };
  await until('all pods answer', answer, seconds);
}

test('up ends with flanneld in a pod of every machine, its subnet of Kubernetes, and no more rights than it needs', async () => {
  expect((await flannelPods()).map(({ node }) => node)).toEqual(MACHINES);
  const { spec, status } = await daemonSet();
  expect(status).toMatchObject({ numberReady: 3, updatedNumberScheduled: 3 });
  expect(spec.template.spec.containers[0].securityContext).toEqual({
    privileged: false,
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'], add: ['NET_ADMIN', 'NET_RAW'] },
  });
  const { nodes } = await outputs(stack);
  for (const { name, podSubnet } of nodes) {
    expect(podSubnet).toMatch(/^10\.244\.\d+\.0\/24$/);
    expect(await cluster.get(`node/${name}`)).toMatchObject({ spec: { podCIDR: podSubnet } });
  }
});

test('pods of both nodes reach each other, and the service by its name', async () => {
  expect(pods.map(({ node }) => node)).toEqual(['node-0', 'node-1']);
  expect(await cluster.unanswered(pods)).toEqual([]);
  for (const pod of pods) expect(await cluster.ask(pod, 'http', 'hello:80')).toMatch(/^hello-/);
});

test('another artifact replaces flanneld machine by machine and no packet is lost; what somebody removed comes back', async () => {
  await cluster.kubectl('delete', 'clusterrolebinding/flannel');
  const old = await imageNow();
  const report = await underTraffic(() =>
    cliOk('up', '--stack', stack, '--config', `artifact=${anotherBuild()}`).then(() => {}),
  );
  tell('Upgrade', report);
  expect(report).toMatchObject({ lost: 0 });
  expect(report.sent).toBeGreaterThan(100);
  expect(await imageNow()).not.toBe(old);
  expect(await daemonSet()).toMatchObject({ status: { numberReady: 3, updatedNumberScheduled: 3 } });
  await cluster.get('clusterrolebinding/flannel');
});

test('what is up needs no change, by the look of the real provider', async () => {
  await cliOk('pulumi', 'preview', '--stack', stack, '--expect-no-changes');
});

/** The same programs under another version. */
function anotherBuild(): string {
  const directory = join(scratch, 'build');
  cpSync(join(REPOSITORY, 'dist', 'cni'), join(directory, 'cni'), { recursive: true });
  const manifest = JSON.parse(readFileSync(join(REPOSITORY, 'dist', 'manifest.json'), 'utf8'));
  for (const name of ['flanneld', manifest.artifact.file])
    linkOrCopy(join(REPOSITORY, 'dist', name), join(directory, name));
  writeFileSync(join(directory, 'manifest.json'), JSON.stringify({ ...manifest, version: `${manifest.version}-next` }));
  return directory;
}

function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    cpSync(from, to); // on another file system
  }
}

test('flanneld killed while the API server does not answer: pods go on by what flanneld kept', async () => {
  const server = await cluster.pidOf('control-0', 'kube-apiserver');
  const report = await underTraffic(async () => {
    await cluster.on('control-0', 'kill', '-STOP', String(server));
    try {
      await new Promise((resolve) => setTimeout(resolve, 10_000)); // it is away for so long
      const pid = cluster.flanneldOf('node-0');
      process.kill(pid, 'SIGKILL');
      await until('kubelet has started flanneld again', () => cluster.flanneldOf('node-0', pid) !== undefined, 90);
      await until('the other pod answers', () => cluster.pings(pods[0]!, pods[1]!.address), 90);
    } finally {
      await cluster.on('control-0', 'kill', '-CONT', String(server));
    }
  });
  tell('API server away, flanneld killed', report);
  await until('flanneld is ready everywhere', async () => (await daemonSet()).status.numberReady === 3, 90);
  await untilAllAnswer();
});

test('a node without power is brought back by up with its subnet, and its pods talk', async () => {
  const subnet = (await outputs(stack)).nodes[1]!.podSubnet;
  cluster.cutPower('node-1');
  await cliOk('up', '--stack', stack);
  expect((await outputs(stack)).nodes[1]!.podSubnet).toBe(subnet);
  await untilAllAnswer();
});

describe('the component by itself', () => {
  let program: PulumiFn = async () => {};
  let deployment: Stack;
  const own: FlannelSettings = {
    network: { Network: '10.245.0.0/16', Backend: { Type: 'udp' } },
    image: 'localhost/flannel-ts:none',
    imagePullPolicy: 'Never',
    namespace: 'second',
    annotationPrefix: 'second.example',
    nodeSelector: { 'second.example/none': 'here' }, // it would need another cluster's network
  };
  const provider = (kubeconfig: string) =>
    new Provider('cluster', { kubeconfig: whenReady(kubeconfig), enableConfigMapMutable: true });
  const kindsOf = async () => {
    const said = await cluster.kubectl(
      'get',
      '--ignore-not-found',
      '--output=name',
      'namespace/second',
      'clusterrole/flannel-second',
    );
    return said
      .trim()
      .split('\n')
      .filter((line) => line !== '');
  };

  beforeAll(async () => {
    const kubeconfig = (await cliOk('kubeconfig', '--stack', stack)).stdout;
    program = async () => {
      new Flannel('flannel', own, { provider: provider(kubeconfig) });
    };
    const context = makeContext(REPOSITORY, process.env);
    // The Automation API looks for the CLI by this process's PATH.
    process.env.PATH = [await findPulumi(context), kubernetesDirectory(context), process.env.PATH].join(delimiter);
    const envVars = {
      PULUMI_HOME: join(scratch, 'home'),
      PULUMI_BACKEND_URL: `file://${scratch}`,
      PULUMI_CONFIG_PASSPHRASE: '',
      PULUMI_SKIP_UPDATE_CHECK: 'true',
      PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: 'true',
    };
    deployment = await LocalWorkspace.createOrSelectStack(
      { stackName: 'second', projectName: 'second', program: () => program() },
      { envVars, workDir: mkdtempSync(join(scratch, 'work-')) },
    );
    // As they were before a pod took over from another: privileged, with a port, one less at a time.
    const old = readFileSync(join(__dirname, 'fixtures', 'objects-before.json'), 'utf8');
    program = async () => {
      const parent = new pulumi.ComponentResource(
        'flannel:kubernetes:Flannel',
        'flannel',
        {},
        { provider: provider(kubeconfig) },
      );
      registerObjects('flannel', inSecond(JSON.parse(old) as KubernetesObject[]), parent);
    };
    await deployment.up();
    program = async () => {
      new Flannel('flannel', own, { provider: provider(kubeconfig) });
    };
  });

  /** In the namespace and with the names of the second network. */
  function inSecond(objects: readonly KubernetesObject[]): KubernetesObject[] {
    const text = JSON.stringify(objects)
      .replaceAll('"kube-flannel"},', '"second"},')
      .replaceAll('"namespace":"kube-flannel"', '"namespace":"second"')
      .replaceAll('"nodeSelector":{', '"nodeSelector":{"second.example/none":"here",');
    return (JSON.parse(text) as KubernetesObject[]).map((object) => {
      if (object.kind === 'Namespace') return { ...object, metadata: { ...object.metadata, name: 'second' } };
      if (!object.kind.startsWith('ClusterRole')) return object;
      const role = { ...object, metadata: { name: 'flannel-second' } };
      const { roleRef } = object as { roleRef?: object };
      return roleRef ? { ...role, roleRef: { ...roleRef, name: 'flannel-second' } } : role;
    });
  }

  test('takes over what an earlier version made, and another network config, without replacing anything', async () => {
    const { changeSummary } = await deployment.preview();
    expect(changeSummary).toMatchObject({ update: expect.any(Number) });
    expect(Object.keys(changeSummary).filter((each) => /replace|delete|create/.test(each))).toEqual([]);
    const { summary } = await deployment.up();
    expect(summary.resourceChanges).not.toHaveProperty('replace');
    await deployment.preview({ expectNoChanges: true });
  });

  test('sees by refresh what somebody has removed, and makes it again', async () => {
    await cluster.kubectl('delete', 'clusterrole/flannel-second');
    const { summary } = await deployment.refresh();
    expect(summary.resourceChanges).toMatchObject({ delete: 1 });
    await deployment.up();
    expect(await kindsOf()).toEqual(['namespace/second', 'clusterrole.rbac.authorization.k8s.io/flannel-second']);
  });

  test('leaves nothing in the cluster when it is destroyed', async () => {
    await deployment.destroy();
    expect(await kindsOf()).toEqual([]);
  });
});

test('down does not ask an API server that is gone, and leaves nothing', async () => {
  cluster.cutPower('control-0');
  await cliOk('down', '--stack', stack);
  expect(cluster.remains()).toEqual([]);
  expect(hostNetwork()).toEqual(before);
});
