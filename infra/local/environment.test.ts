import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { planNetworkConfig } from '@flannel-ts/flannel/addressing';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import * as pulumi from '@pulumi/pulumi';
import type { EnvironmentOutputs } from '../outputs.ts';
import type { LocalSettings } from '../settings.ts';
import { parsePublications } from './publications.ts';

interface Registered {
  readonly type: string;
  readonly inputs: Record<string, unknown>;
}
const registered = new Map<string, Registered>();

jest.setTimeout(60_000); // Pulumi serialises providers, which takes seconds on a busy machine
jest.mock('@flannel-ts/infra/host', () => ({}), { virtual: true });

beforeAll(async () => {
  await pulumi.runtime.setMocks({
    call: () => ({}),
    newResource: ({ name, type, inputs }) => {
      registered.set(name, { type, inputs });
      const made =
        type.endsWith('Certificate') || type.endsWith('Authority')
          ? { certificate: `cert ${name}`, key: `key ${name}` }
          : {};
      return { id: `${name}-id`, state: { ...inputs, ...made, podSubnet: '10.244.1.0/24', listensOn: 40000 } };
    },
  });
});

const value = <T>(output: pulumi.Input<T>) =>
  new Promise<T>((resolve) => void pulumi.output(output).apply((known) => resolve(known as T)));

async function create(changes: Partial<LocalSettings> = {}): Promise<EnvironmentOutputs> {
  registered.clear();
  const { createLocalEnvironment } = await import('./environment.ts');
  const settings: LocalSettings = {
    stack: 'dev',
    environment: 'local',
    nodes: 3,
    podsPerNode: 2,
    etcdMembers: 1,
    vpc: parsePrefix('10.64.0.0/19'),
    mtu: 1500,
    artifact: 'dist',
    network: planNetworkConfig({ pods: parsePrefix('10.244.0.0/16'), subnetLength: 24, backend: { Type: 'udp' } }),
    ...changes,
  };
  const artifact = {
    version: '1.0.0',
    sha256: 'a'.repeat(64),
    file: 'flannel.tar.gz',
    source: '../dist/flannel.tar.gz',
  };
  const outputs = createLocalEnvironment(settings, artifact);
  while (settings.kubernetes && !registered.has('cluster')) await setImmediate(); // which depends on all others
  await value(pulumi.all((outputs.pods ?? []).map(({ address }) => address)));
  return outputs;
}

/** A directory that describes a build of Kubernetes. */
function kubernetesBuild(): string {
  const directory = mkdtempSync(join(tmpdir(), 'fltest-kubernetes-'));
  directories.push(directory);
  writeFileSync(join(directory, 'manifest.json'), JSON.stringify({ version: '1.34.2', sha256: 'b'.repeat(64) }));
  return directory;
}
const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

const inputsOf = async (name: string) => (await value(registered.get(name)!.inputs)) as Record<string, unknown>;
const namesOf = (type: string) =>
  [...registered]
    .filter(([, made]) => made.type.endsWith(`:${type}`))
    .map(([name]) => name)
    .sort();

describe('createLocalEnvironment()', () => {
  test('has the outputs that tools rely on', async () => {
    const { etcdClient, nodes, pods, ...plain } = await create();
    expect(plain).toEqual({
      network: {
        vpcCidr: '10.64.0.0/19',
        podCidr: '10.244.0.0/16',
        subnetLength: 24,
        backend: { Type: 'udp', Port: 8285 },
      },
      etcdEndpoints: ['https://10.64.0.4:2379'],
      artifact: { version: '1.0.0', sha256: 'a'.repeat(64) },
    });
    expect(await value(nodes[2]!)).toEqual({ name: 'node-2', address: '10.64.0.18', podSubnet: '10.244.1.0/24' });
    expect(pods!.map(({ name, node }) => `${name} on ${node}`)).toEqual([
      'pod-0-0 on node-0',
      'pod-0-1 on node-0',
      'pod-1-0 on node-1',
      'pod-1-1 on node-1',
      'pod-2-0 on node-2',
      'pod-2-1 on node-2',
    ]);
    expect(await pulumi.isSecret(etcdClient)).toBe(true);
    expect(await value(etcdClient)).toEqual({
      ca: 'cert pki-ca',
      cert: 'cert pki-client-admin',
      key: 'key pki-client-admin',
    });
  });

  test('makes machines for nodes and etcd members, each with its own certificate', async () => {
    await create({ etcdMembers: 3 });
    expect(namesOf('Machine')).toEqual(['etcd-0', 'etcd-1', 'etcd-2', 'node-0', 'node-1', 'node-2']);
    expect(namesOf('Certificate')).toEqual(
      expect.arrayContaining(['pki-client-admin', 'pki-client-node-2', 'pki-peer-etcd-2', 'pki-server-etcd-2']),
    );
    expect(await inputsOf('pki-server-etcd-2')).toMatchObject({ ipAddresses: ['10.64.0.6'], usages: ['server'] });
    expect(await inputsOf('pki-peer-etcd-2')).toMatchObject({ commonName: 'etcd-peer', usages: ['server', 'client'] });
  });

  test('tells a node nothing that changes when other nodes come or go', async () => {
    await create({ nodes: 3 });
    const before = await inputsOf('node-1-software');
    await create({ nodes: 5 });
    expect(await inputsOf('node-1-software')).toEqual(before);
    expect(namesOf('Machine')).toContain('node-4');
  });

  test('with Kubernetes makes a control plane, and a worker of every node, with certificates of an authority apart', async () => {
    const kubernetes = {
      services: parsePrefix('10.96.0.0/16'),
      proxyMode: 'nftables' as const,
      overlay: 'unit' as const,
      artifact: kubernetesBuild(),
      demo: true,
      apiPort: 0,
      publish: parsePublications(['8080:30080', '0.0.0.0:53:kube-system/kube-dns:53/udp']),
    };
    const { kubeconfig, nodes } = await create({ podsPerNode: 0, kubernetes });
    expect(nodes).toHaveLength(3);
    expect(namesOf('Units')).toEqual(['control-0-units', 'node-0-units', 'node-1-units', 'node-2-units']);
    expect(await inputsOf('control-0')).toMatchObject({ address: '10.64.0.12' });
    expect(await pulumi.isSecret(kubeconfig!)).toBe(true);
    expect(JSON.parse(await value(kubeconfig!)).clusters[0].cluster.server).toBe('https://127.0.0.1:40000');
    const kubelet = await inputsOf('kubernetes-pki-client-node-1');
    expect(kubelet).toMatchObject({ commonName: 'system:node:node-1', organizations: ['system:nodes'] });
    expect(kubelet.authorityCertificate).toBe('cert kubernetes-pki-ca');
    expect((await inputsOf('pki-client-kube-apiserver')).authorityCertificate).toBe('cert pki-ca');
    const secrets = async (units: string) => JSON.stringify((await inputsOf(units)).secretFiles);
    expect(await secrets('control-0-units')).toContain('/tls/authority/signer.key');
    expect(await secrets('node-1-units')).not.toContain('/tls/authority/');
    const { nodes: named, objects } = (await inputsOf('cluster')) as { nodes: string[]; objects: { kind: string }[] };
    expect(named).toEqual(['node-0', 'node-1', 'node-2']);
    expect(objects.filter(({ kind }) => kind === 'Deployment')).toHaveLength(2);
    expect(await inputsOf('publish-api')).toMatchObject({ machine: 'control-0', port: 0, address: '127.0.0.1' });
    expect(await inputsOf('publish-tcp-127-0-0-1-8080')).toMatchObject({
      machine: 'node-0',
      plan: { target: { endpoints: ['10.64.0.16:30080', '10.64.0.17:30080', '10.64.0.18:30080'] } },
    });
    expect((await inputsOf('publish-udp-0-0-0-0-53')).plan).toEqual({
      protocol: 'udp',
      target: { name: 'kube-dns.kube-system.svc.cluster.local', port: 53, dns: '10.96.0.10' },
    });
  });

  test('restarts flanneld for what it reads only at its start, and for nothing that it follows', async () => {
    const network = (pods: string, backend: object) => ({
      network: planNetworkConfig({ pods: parsePrefix(pods, 4), subnetLength: 24, backend }),
    });
    const told = async (changes: Partial<LocalSettings>) => {
      await create(changes);
      const { revision, serves } = await inputsOf('node-0-software');
      return { revision, serves: serves as { network: string; podMtu: number } };
    };
    const before = await told({});
    const vxlan = await told(network('10.244.0.0/16', { Type: 'vxlan' }));
    expect(vxlan.revision).toBe(before.revision);
    expect(JSON.parse(vxlan.serves.network).Backend.Type).toBe('vxlan');
    expect([before, vxlan, await told({ mtu: 1400 })].map(({ serves }) => serves.podMtu)).toEqual([1472, 1450, 1372]);
    const smaller = await told(network('10.244.0.0/16', { Type: 'vxlan', MTU: 1300 }));
    expect([smaller.revision, smaller.serves.podMtu]).toEqual([before.revision, 1250]);
    expect((await told(network('10.245.0.0/16', { Type: 'udp' }))).revision).not.toBe(before.revision);
  });
});
