import { parsePrefix } from '@flannel-ts/inet/prefix';
import { composeMachine, type MachinePlan } from '../machine-plan.ts';
import { containerdPart } from './containerd.ts';
import { controlPlane } from './control-plane.ts';
import { corednsObjects } from './coredns.ts';
import { standaloneKubeconfig } from './credentials.ts';
import { kubeletPart, kubeProxyPart } from './kubelet.ts';
import { serviceNetwork } from './settings.ts';

const SERVICES = serviceNetwork(parsePrefix('10.96.0.0/16'));
const SERVER = 'https://10.64.0.12:6443';

function worker(root: string): Required<MachinePlan> {
  const place = { root, bin: '/opt/kubernetes/bin', node: 'node-0', server: SERVER };
  return composeMachine(
    containerdPart({ root, flannelPlugins: `${root}/opt/flannel/current/cni`, pauseImage: 'localhost/pause:1' }),
    kubeletPart({
      ...place,
      address: '10.64.0.16',
      clusterDns: SERVICES.dns,
      cgroup: '/flannel.dev.node-0',
      labels: { 'topology.kubernetes.io/zone': 'zone-0' },
    }),
    kubeProxyPart({ ...place, podCidr: '10.244.0.0/16', mode: 'nftables' }),
  );
}

const control = (nodeMask?: number) =>
  controlPlane({
    root: '',
    bin: '/opt/kubernetes/bin',
    address: '10.64.0.12',
    etcdEndpoints: ['https://10.64.0.4:2379'],
    services: SERVICES,
    podCidr: '10.244.0.0/16',
    ...(nodeMask !== undefined && { nodeMask }),
  });

test('a worker is containerd, kubelet and kube-proxy', () => {
  expect(worker('')).toMatchSnapshot();
});

test('a control plane is kube-apiserver, kube-controller-manager and kube-scheduler', () => {
  expect(control()).toMatchSnapshot();
});

test('the parts of nodes come from Kubernetes only where it is told how large they are', () => {
  const flags = (nodeMask?: number) => control(nodeMask).units.find(({ name }) => name.endsWith('manager'))!.command;
  expect(flags()).toContain('--allocate-node-cidrs=false');
  expect(flags(24)).toEqual(expect.arrayContaining(['--allocate-node-cidrs=true', '--node-cidr-mask-size=24']));
});

test('a machine below a directory keeps its files there', () => {
  const root = '/var/lib/flannel-local/dev/nodes/node-0';
  const { files, links, units } = worker(root);
  expect([...files, ...links].map(({ path }) => path).filter((path) => !path.startsWith(`${root}/`))).toEqual([]);
  expect(units.map(({ log }) => log).every((log) => log.startsWith(root))).toBe(true);
});

test('each unit reads files that the machine has, or its credentials', () => {
  const { files, units } = worker('');
  const known = files.map(({ path }) => path);
  const others = units.flatMap(({ reads }) => reads).filter((path) => !known.includes(path));
  expect(others.every((path) => path.startsWith('/etc/kubernetes/tls/'))).toBe(true);
  const names = units.map(({ name }) => name);
  expect(units.flatMap(({ after = [] }) => after).every((name) => names.includes(name))).toBe(true);
});

test('standaloneKubeconfig() holds all that a client needs', () => {
  const pair = { certificate: 'CERT', key: 'KEY' };
  const { clusters, users, ...rest } = JSON.parse(standaloneKubeconfig('dev', SERVER, 'CA', pair));
  const text = (base64: string) => Buffer.from(base64, 'base64').toString();
  expect(clusters[0].cluster.server).toBe(SERVER);
  expect(text(clusters[0].cluster['certificate-authority-data'])).toBe('CA');
  expect(text(users[0].user['client-key-data'])).toBe('KEY');
  expect(rest['current-context']).toBe('dev');
});

test('corednsObjects() answer at the address that kubelet tells pods', () => {
  const service = corednsObjects(SERVICES.dns, 2).find(({ kind }) => kind === 'Service')!;
  expect(service).toMatchObject({ spec: { clusterIP: '10.96.0.10' } });
});
