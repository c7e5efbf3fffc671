/** The local environment: network namespaces of this machine stand for the machines of a cloud. */
import { podPool } from '@flannel-ts/flannel/addressing';
import { formatNetworkConfig } from '@flannel-ts/flannel/network-config';
import { formatSubnetPool } from '@flannel-ts/flannel/subnet-pool';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { formatPrefix } from '@flannel-ts/inet/prefix';
import * as pulumi from '@pulumi/pulumi';
import type { Artifact } from '../node/artifact.ts';
import { podMtu } from '../node/underlay.ts';
import type { EnvironmentOutputs } from '../outputs.ts';
import type { LocalSettings } from '../settings.ts';
import { Etcd } from './etcd.ts';
import { Kubernetes } from './kubernetes.ts';
import { Node } from './node.ts';
import { Pki } from './pki.ts';
import { type ClusterMachine, PlainMachine } from './plain-machine.ts';
import { planAddresses } from './plan.ts';
import { Pods } from './pods.ts';
import { StoredArtifact } from './resources.ts';
import { Vpc } from './vpc.ts';

export function createLocalEnvironment(settings: LocalSettings, artifact: Artifact): EnvironmentOutputs {
  requireHost();
  const { stack, network } = settings;
  const plan = planAddresses(settings.vpc, settings.etcdMembers, settings.nodes);
  const pki = new Pki('pki', { stack });
  const vpc = new Vpc('vpc', {
    stack,
    cidr: settings.vpc,
    gateway: plan.gateway,
    mtu: settings.mtu,
    backend: network.backend,
  });
  const etcd = new Etcd('etcd', { stack, vpc, pki, addresses: plan.etcd, network });
  const stored = storeArtifact(stack, artifact);
  const revision = pulumi.interpolate`${JSON.stringify(formatSubnetPool(podPool(network)))} etcd ${etcd.ready.generation}`;
  const serves = { network: formatNetworkConfig(network), podMtu: podMtu(network.backend, settings.mtu) };
  const inPods = settings.kubernetes?.overlay === 'daemonset';
  const node = (name: string, address: Ipv4, after: readonly pulumi.Resource[]) => {
    const told = { etcdEndpoints: etcd.endpoints, artifact: stored, revision, serves };
    return new Node(name, { stack, vpc, pki, address, ...told, after });
  };
  const nodes: Node[] = [];
  for (const address of inPods ? [] : plan.nodes) {
    const previous = nodes.at(-1);
    // A change rolls from node to node: the next one begins when this one is ready.
    const after = previous ? [etcd.ready, previous.software] : [etcd.ready];
    nodes.push(node(`node-${nodes.length}`, address, after));
  }
  const plain = (name: string, address: Ipv4) => new PlainMachine(name, { vpc, address });
  const machines: readonly ClusterMachine[] = inPods ? plan.nodes.map((each, i) => plain(`node-${i}`, each)) : nodes;
  const kubernetes =
    settings.kubernetes &&
    new Kubernetes('kubernetes', {
      stack,
      settings: settings.kubernetes,
      network,
      etcd,
      etcdPki: pki,
      control: inPods ? plain('control-0', plan.control) : node('control-0', plan.control, [etcd.ready]),
      nodes: machines,
      ...(inPods && { overlay: settings.artifact }),
    });
  const pods = nodes.map((node, i) => {
    return new Pods(`pods-${i}`, { stack, node, prefix: `pod-${i}`, count: settings.podsPerNode });
  });
  return {
    network: {
      vpcCidr: formatPrefix(settings.vpc),
      podCidr: formatPrefix(podPool(network).network),
      subnetLength: podPool(network).subnetLength,
      backend: JSON.parse(formatNetworkConfig(network)).Backend,
    },
    nodes: inPods
      ? machines.map(({ label, address }) => ({ name: label, address, podSubnet: kubernetes!.podSubnetOf(label) }))
      : nodes.map(({ label, address, podSubnet }) => ({ name: label, address, podSubnet })),
    etcdEndpoints: etcd.endpoints,
    artifact: { version: artifact.version, sha256: artifact.sha256 },
    etcdClient: clientSecret(pki, etcd),
    pods: pods.flatMap((component) => component.pods),
    ...(kubernetes && { kubeconfig: kubernetes.kubeconfig }),
  };
}

/** Asked here, because the provider process would answer with a stack trace for each resource. */
function requireHost(): void {
  try {
    require.resolve('@flannel-ts/infra/host');
  } catch {
    throw new pulumi.RunError('infra/dist/host.cjs is missing: run "npm run build"');
  }
}

function storeArtifact(stack: string, { sha256, file, source }: Artifact): StoredArtifact {
  return new StoredArtifact('artifact', { stack, sha256, file, source }, {});
}

function clientSecret(pki: Pki, etcd: Etcd): EnvironmentOutputs['etcdClient'] {
  const client = pulumi
    .all([pki.ca, etcd.admin])
    .apply(([ca, { certificate, key }]) => ({ ca, cert: certificate, key }));
  return pulumi.secret(client);
}
