import { setImmediate } from 'node:timers/promises';
import * as pulumi from '@pulumi/pulumi';
import { buildSync } from 'esbuild';
import { NODE_CIDR_RULES, nodeCidrObjects } from './node-cidrs.ts';
import { nodeConfig } from './user-data.ts';

interface Registered {
  readonly type: string;
  readonly name: string;
  readonly inputs: Readonly<Record<string, unknown>>;
}
const registered: Registered[] = [];
/** The inputs, or what is in them by a path like `spec/replicas`. */
const find = (type: string, name: string, path = '') => {
  const { inputs } = registered.find((each) => each.type.endsWith(type) && each.name === name)!;
  const keys = path.split('/').filter((key) => key !== '');
  return keys.reduce<unknown>((value, key) => (value as Record<string, unknown>)[key], inputs);
};
const textOf = (type: string, name: string, path: string) => find(type, name, path) as string;
const positionOf = (type: string, name: string) =>
  registered.findIndex((each) => each.type.endsWith(type) && each.name === name);

jest.setTimeout(120_000); // the SDKs of AWS and Kubernetes are large

beforeAll(async () => {
  pulumi.runtime.setAllConfig({
    'flannel-eks:subnetIds': '["subnet-a","subnet-b"]',
    'flannel-eks:image': 'registry.example/flannel-ts:1',
  });
  await pulumi.runtime.setMocks(
    {
      call: () => ({}),
      newResource: ({ type, name, inputs }) => {
        registered.push({ type, name, inputs });
        const made = { arn: `arn:${name}`, endpoint: 'https://eks.example', certificateAuthority: { data: 'Q0E=' } };
        return { id: `${name}-id`, state: { name, latestVersion: 7, ...made, ...inputs } };
      },
    },
    'flannel-eks',
    'dev',
  );
  await import('./index.ts');
  while (positionOf('addon:Addon', 'coredns') === -1) await setImmediate();
});

test('the cluster comes without add-ons of its own', () => {
  expect(find('cluster:Cluster', 'cluster')).toMatchObject({
    bootstrapSelfManagedAddons: false,
    vpcConfig: { subnetIds: ['subnet-a', 'subnet-b'] },
  });
  expect(registered.filter(({ type }) => type.endsWith('addon:Addon')).map(({ inputs }) => inputs.addonName)).toEqual([
    ...['kube-proxy', 'coredns'],
  ]);
});

test('what makes nodes Ready is there before them, and CoreDNS comes after them', () => {
  const nodes = positionOf('nodeGroup:NodeGroup', 'nodes');
  const before = [
    positionOf('addon:Addon', 'kube-proxy'),
    positionOf('DaemonSet', 'flannel-daemonset'),
    positionOf('Deployment', 'node-cidrs'),
  ];
  expect(before.every((position) => position >= 0 && position < nodes)).toBe(true);
  expect(positionOf('addon:Addon', 'coredns')).toBeGreaterThan(nodes);
});

test('kubectl asks AWS for a token, and the provider knows the cluster by its ARN', async () => {
  expect(find('providers:kubernetes', 'cluster')).toMatchObject({
    clusterIdentifier: 'arn:cluster',
    deleteUnreachable: 'true',
  });
  const { clusters, users } = JSON.parse(textOf('providers:kubernetes', 'cluster', 'kubeconfig'));
  expect(clusters[0].cluster).toEqual({ server: 'https://eks.example', 'certificate-authority-data': 'Q0E=' });
  expect(users[0].user.exec.args).toContain('flannel-eks-dev');
});

test('nodes take pods by what kubelet can do, and their credentials are not for pods', () => {
  const userData = textOf('launchTemplate:LaunchTemplate', 'nodes', 'userData');
  expect(Buffer.from(userData, 'base64').toString()).toBe(nodeConfig(110));
  expect(nodeConfig(110)).toContain('\n      maxPods: 110\n');
  expect(find('launchTemplate:LaunchTemplate', 'nodes', 'metadataOptions')).toMatchObject({
    httpTokens: 'required',
    httpPutResponseHopLimit: 1,
  });
  expect(find('nodeGroup:NodeGroup', 'nodes', 'launchTemplate')).toEqual({ id: 'nodes-id', version: '7' });
});

test('flannel and the controller of podCIDRs have one network', () => {
  const network = textOf('ConfigMap', 'flannel-configmap', 'data/net-conf.json');
  expect(JSON.parse(network).Network).toBe('10.244.0.0/16');
  expect(find('Deployment', 'node-cidrs', 'spec/template/spec/containers/0/command')).toContain(
    '--cluster-cidr=10.244.0.0/16',
  );
});

test('the controller of podCIDRs may change nodes and nothing of anybody else', () => {
  expect(NODE_CIDR_RULES.flatMap(({ resources }) => resources)).toEqual(['nodes', 'events', 'leases']);
  const objects = nodeCidrObjects({ podCidr: '10.1.0.0/16', maskSize: 24, image: 'x' });
  expect(objects.map(({ kind }) => kind)).toEqual([
    'ServiceAccount',
    'ClusterRole',
    'ClusterRoleBinding',
    'Deployment',
  ]);
});

test('the program is bundled as its README says', () => {
  const { outputFiles } = buildSync({
    entryPoints: [`${__dirname}/index.ts`],
    bundle: true,
    platform: 'node',
    external: ['@pulumi/*'],
    write: false,
    outfile: 'index.cjs',
  });
  expect(outputFiles[0]!.text).toContain('bootstrapSelfManagedAddons');
});
