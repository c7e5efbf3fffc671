/**
 * All settings of a stack are read and checked here and nowhere else: by the program before it registers the first resource, and
 * by `npm run up` before it starts Pulumi. All mistakes are reported at once, one sentence each.
 */

import { checkAddressing } from '@flannel-ts/flannel/addressing';
import { BACKEND_KEYS, type BackendConfig, parseBackendConfig } from '@flannel-ts/flannel/backend-config';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { suggestion } from '@flannel-ts/flannel/suggest';
import { MAX_JUMBO_MTU, MIN_IPV4_MTU } from '@flannel-ts/inet/mtu';
import { formatPrefix, type Prefix, prefixesOverlap } from '@flannel-ts/inet/prefix';
import { AWS_KEYS, type AwsSettings, readAwsSettings } from './aws/settings.ts';
import { planAddresses } from './local/plan.ts';
import { type Publication, parsePublications } from './local/publications.ts';
import { type Complete, type Lookup, Reader } from './reader.ts';

export const ENVIRONMENTS = ['local', 'aws'] as const;
export type EnvironmentName = (typeof ENVIRONMENTS)[number];

/** Common to every environment. */
export interface CommonSettings {
  readonly stack: string;
  readonly nodes: number;
  readonly etcdMembers: number;
  readonly vpc: Prefix<4>;
  readonly mtu: number;
  /** The directory of the artifact to run, with its manifest.json; relative to the project. */
  readonly artifact: string;
  /** flannel's own network configuration, as flanneld will read it from etcd. */
  readonly network: NetworkConfig;
}

export interface LocalSettings extends CommonSettings {
  readonly environment: 'local';
  readonly podsPerNode: number;
  /** Absent where there is no cluster. */
  readonly kubernetes?: KubernetesSettings;
}

export const PROXY_MODES = ['nftables', 'iptables'] as const;
/** How flanneld runs on a cluster's nodes: as a service with its lease in etcd, or in pods with its lease in Kubernetes. */
export const OVERLAYS = ['unit', 'daemonset'] as const;

export interface KubernetesSettings {
  /** Addresses of services. */
  readonly services: Prefix<4>;
  readonly proxyMode: (typeof PROXY_MODES)[number];
  readonly overlay: (typeof OVERLAYS)[number];
  /** The directory of Kubernetes' programs and images, with its manifest.json; relative to the project. */
  readonly artifact: string;
  /** Whether there is something to look at from the start. */
  readonly demo: boolean;
  /** Of this machine, where the API server is; 0: a free one. */
  readonly apiPort: number;
  /** Ports of this machine that lead into the cluster. */
  readonly publish: readonly Publication[];
}

export interface CloudSettings extends CommonSettings {
  readonly environment: 'aws';
  readonly aws: AwsSettings;
}

export type Settings = LocalSettings | CloudSettings;

/** Names go into namespaces and paths. 30 characters leave room for the parts' names. */
const STACK_NAME = /^[a-z][a-z0-9-]{0,29}$/;
const MAX_NODES = 250;
/** etcd's documentation advises against more: each write waits for a majority. */
const MAX_ETCD_MEMBERS = 7;
const MAX_PODS_PER_NODE = 50;

/** Of every environment. */
const COMMON_KEYS = [
  'environment',
  'nodes',
  'podsPerNode',
  'etcdMembers',
  'vpcCidr',
  'mtu',
  'podCidr',
  'subnetLength',
  'backend',
  'artifact',
] as const;

/** Of the local environment. */
const KUBERNETES_KEYS = [
  ...(['kubernetes', 'serviceCidr', 'proxyMode', 'overlay', 'kubernetesArtifact'] as const),
  ...(['demo', 'apiPort', 'publish'] as const),
] as const;

/** The settings of all environments. */
export const SETTING_KEYS: readonly string[] = [...COMMON_KEYS, ...KUBERNETES_KEYS, ...AWS_KEYS];

export interface SettingsSource {
  readonly get: Lookup;
  /** The keys that are set: one that nothing reads is a mistake. */
  readonly keys: readonly string[];
}

/** `read`: another reader, that sees which keys are asked for, and as what. */
export function parseSettings(stack: string, { get, keys }: SettingsSource, read = new Reader(get)): Settings {
  for (const key of keys.filter((each) => !SETTING_KEYS.includes(each))) {
    read.problem(`There is no setting "${key}": ${suggestion(key, SETTING_KEYS)}`, key);
  }
  if (!STACK_NAME.test(stack)) {
    read.problem(
      `Stack name "${stack}" cannot be part of a namespace's name: use up to 30 lower-case letters, digits and dashes, beginning with a letter`,
    );
  }
  const values = {
    environment: read.choice('environment', ENVIRONMENTS),
    nodes: read.integer('nodes', 1, MAX_NODES),
    podsPerNode: read.integer('podsPerNode', 0, MAX_PODS_PER_NODE),
    etcdMembers: read.integer('etcdMembers', 1, MAX_ETCD_MEMBERS),
    vpc: read.prefix('vpcCidr'),
    mtu: read.integer('mtu', MIN_IPV4_MTU, MAX_JUMBO_MTU),
    pods: read.prefix('podCidr'),
    subnetLength: read.integer('subnetLength', 1, 30),
    backend: read.object('backend'),
    artifact: read.directory('artifact'),
    kubernetes: read.boolean('kubernetes', false),
  };
  read.done();
  return check(read, stack, values as Complete<typeof values>);
}

interface Values extends Omit<CommonSettings, 'stack' | 'network'> {
  readonly environment: EnvironmentName;
  readonly podsPerNode: number;
  readonly pods: Prefix<4>;
  readonly subnetLength: number;
  readonly backend: object;
  readonly kubernetes: boolean;
}

/** Checks that need several values. */
function check(read: Reader, stack: string, values: Values): Settings {
  const { environment, podsPerNode, pods, subnetLength, backend, kubernetes: withKubernetes, ...common } = values;
  const { vpc, nodes, etcdMembers } = common;
  const local = environment === 'local';
  if (etcdMembers % 2 === 0) {
    read.problem(
      `etcdMembers is ${etcdMembers}: use an odd number; even ones tolerate no more failures`,
      'etcdMembers',
    );
  }
  checkBackend(read, backend, common.mtu);
  if (local) read.attempt(() => planAddresses(vpc, etcdMembers, nodes));
  // A value that is refused above is not judged again: what flanneld would say of it may have no place in a stack.
  const allowed = Object.entries(backend).filter(([key, value]) => !backendValueProblem(key, value, common.mtu));
  const judged = { ...common, pods, subnetLength, backend: Object.fromEntries(allowed) };
  const addressing = checkAddressing({ ...judged, ...(local && { podsPerNode }) });
  if (!addressing.ok) for (const { message } of addressing.problems) read.problem(message);
  const kubernetes = withKubernetes ? readKubernetes(read, values) : undefined;
  const aws = local ? undefined : readAwsSettings(read, { ...values, backend: parsedOrUndefined(backend) });
  read.done();
  const { config: network } = addressing as Extract<typeof addressing, { ok: true }>;
  const complete = { stack, ...common, network };
  return aws === undefined
    ? { ...complete, environment: 'local', podsPerNode, ...(kubernetes && { kubernetes }) }
    : { ...complete, environment: 'aws', aws };
}

function readKubernetes(read: Reader, { environment, vpc, pods, podsPerNode }: Values): KubernetesSettings | undefined {
  if (environment !== 'local') {
    read.problem('kubernetes is true: only the local environment has it', 'kubernetes');
    return undefined;
  }
  const settings = {
    services: read.prefix('serviceCidr'),
    proxyMode: read.choice('proxyMode', PROXY_MODES),
    overlay: read.choice('overlay', OVERLAYS, 'unit'),
    artifact: read.directory('kubernetesArtifact'),
    demo: read.boolean('demo', false),
    apiPort: read.integer('apiPort', 0, 65535, 0),
    publish: readPublications(read),
  };
  const { services, apiPort, publish, overlay } = settings;
  if (overlay === 'daemonset' && podsPerNode > 0) {
    read.problem(
      `podsPerNode is ${podsPerNode}: with overlay daemonset only kubelet makes pods; set it to 0`,
      'podsPerNode',
    );
  }
  if (publish?.some(({ port, protocol }) => port === apiPort && protocol === 'tcp')) {
    read.problem(`apiPort is ${apiPort}, which publish takes: use another`, 'apiPort');
  }
  if (services !== undefined) {
    // kube-apiserver's limits: the addresses of "kubernetes" and "kube-dns", and a bitmap of 20 bits.
    if (services.length < 12 || services.length > 27) {
      read.problem(`serviceCidr is ${formatPrefix(services)}: use a length from /12 to /27`, 'serviceCidr');
    }
    for (const [key, other] of Object.entries({ vpcCidr: vpc, podCidr: pods })) {
      if (prefixesOverlap(services, other)) {
        read.problem(`serviceCidr ${formatPrefix(services)} overlaps ${key} ${formatPrefix(other)}`, 'serviceCidr');
      }
    }
  }
  return Object.values(settings).includes(undefined) ? undefined : (settings as Complete<typeof settings>);
}

function readPublications(read: Reader): readonly Publication[] | undefined {
  if (!read.has('publish')) return [];
  const texts = read.strings('publish', 'a list like ["8080:30080"]');
  return texts && read.attempt(() => parsePublications(texts), 'publish');
}

/** Undefined for a backend that checkAddressing() refuses with the reason. */
function parsedOrUndefined(backend: object): BackendConfig | undefined {
  try {
    return parseBackendConfig(backend);
  } catch {
    return undefined;
  }
}

/** Refuses what flanneld would accept, but what has no effect or no place in the settings of a stack. */
function checkBackend(read: Reader, backend: object, mtu: number): void {
  const entries = Object.entries(backend);
  const type = String(entries.find(([key]) => key.toLowerCase() === 'type')?.[1] ?? '').toLowerCase();
  if (type === 'alloc') {
    read.problem(
      'backend is alloc, which carries no packets: nothing here would connect pods of different nodes',
      'backend',
    );
  }
  const known = Object.hasOwn(BACKEND_KEYS, type) ? BACKEND_KEYS[type as keyof typeof BACKEND_KEYS] : undefined;
  for (const [key, value] of entries) {
    const problem =
      known === undefined || known.includes(key)
        ? backendValueProblem(key, value, mtu)
        : // flanneld ignores it, as flannel does.
          `There is no setting "backend.${key}" for type ${type}: ${suggestion(key, known)}`;
    if (problem !== undefined) read.problem(problem, `backend.${key}`);
  }
}

function backendValueProblem(key: string, value: unknown, mtu: number): string | undefined {
  switch (key) {
    case 'Mode':
      return value === 'ipv6'
        ? 'backend.Mode is "ipv6": machines of a stack have IPv4 addresses only; docs/engine.md says how to run flanneld over IPv6'
        : undefined;
    case 'MTU':
      return typeof value === 'number' && value > mtu
        ? `backend.MTU is ${value} and mtu is ${mtu}: packets would be larger than the machines' network carries; set it to ${mtu} or less, or leave it out`
        : undefined;
    case 'PSK':
      return 'backend.PSK is a secret, and settings are stored and shown as plain text: leave it out; the keys of the nodes already encrypt their traffic';
    default:
      return undefined;
  }
}
