/** What of a stack is deployed, by its state: compared with the settings, which are in a checkout and may be another's. */
import { formatBackendConfig, parseBackendConfig } from '@flannel-ts/flannel/backend-config';
import type { Settings } from './effective.ts';

export interface Resource {
  readonly type: string;
  readonly urn: string;
  /** Still to be deleted: its replacement exists already. */
  readonly delete?: boolean;
  readonly inputs?: Readonly<Record<string, unknown>>;
  readonly outputs?: Readonly<Record<string, unknown>>;
}

export interface Deployed {
  readonly environment: 'local' | 'aws';
  /** The settings it was made with, as far as the state tells, in the form of `Settings`. */
  readonly settings: Settings;
}

const LOCAL = 'pulumi-nodejs:dynamic/local:';

/** Undefined if there is nothing, or nothing that says where. */
export function describeDeployed(resources: readonly Resource[]): Deployed | undefined {
  const current = resources.filter((resource) => resource.delete !== true);
  const local = current.some(({ type }) => type.startsWith(LOCAL));
  if (!local && !current.some(({ type }) => type.startsWith('aws:'))) return undefined;
  const settings = new Map(networkOf(current));
  const backend = writtenBackend(current);
  if (backend !== undefined) settings.set('backend', backend);
  for (const [key, count] of local ? localCounts(current) : outputCounts(current)) {
    if (count > 0) settings.set(key, String(count));
  }
  const overlay = local ? overlayOf(current) : undefined;
  if (overlay !== undefined) settings.set('overlay', overlay);
  const mtu = current.find(({ type }) => type === `${LOCAL}Machine`)?.inputs?.mtu;
  if (typeof mtu === 'number') settings.set('mtu', String(mtu));
  return { environment: local ? 'local' : 'aws', settings };
}

/** Counted from the resources: an `up` that failed leaves no outputs. */
function localCounts(resources: readonly Resource[]): [string, number][] {
  const names = (kind: string) =>
    resources.filter(({ type }) => type === LOCAL + kind).map(({ urn }) => urn.split('::').at(-1) ?? '');
  const machines = names('Machine');
  const pods = new Map<string, number>();
  for (const name of names('Sandbox')) {
    const node = name.split('-')[1] ?? '';
    pods.set(node, (pods.get(node) ?? 0) + 1);
  }
  return [
    ['nodes', machines.filter((name) => name.startsWith('node-')).length],
    ['etcdMembers', machines.filter((name) => name.startsWith('etcd-')).length],
    ['podsPerNode', Math.max(0, ...pods.values())],
  ];
}

/** Of a cluster. */
function overlayOf(resources: readonly Resource[]): string | undefined {
  if (!resources.some(({ type }) => type === `${LOCAL}Units`)) return undefined;
  return resources.some(({ type }) => type === 'flannel:local:FlannelPods') ? 'daemonset' : 'unit';
}

function outputCounts(resources: readonly Resource[]): [string, number][] {
  const { nodes, etcdEndpoints } = stackOutputs(resources);
  return [
    ['nodes', Array.isArray(nodes) ? nodes.length : 0],
    ['etcdMembers', Array.isArray(etcdEndpoints) ? etcdEndpoints.length : 0],
  ];
}

function networkOf(resources: readonly Resource[]): [string, string][] {
  const network = stackOutputs(resources).network as Readonly<Record<string, unknown>> | undefined;
  return ['vpcCidr', 'podCidr', 'subnetLength', 'backend'].flatMap((key): [string, string][] => {
    const value = network?.[key];
    if (value === undefined) return [];
    return [[key, typeof value === 'object' ? JSON.stringify(value) : String(value)]];
  });
}

/** As it was last written for the nodes: after an `up` that failed, the outputs are still those of the one before. */
function writtenBackend(resources: readonly Resource[]): string | undefined {
  const config = resources.find(({ type, urn, inputs }) =>
    type === `${LOCAL}EtcdKey`
      ? urn.endsWith('::network-config')
      : type === 'aws:ssm/parameter:Parameter' && String(inputs?.name).endsWith('/network'),
  );
  const { value, insecureValue } = config?.inputs ?? {};
  const text = value ?? insecureValue;
  if (typeof text !== 'string') return undefined;
  const { Backend } = JSON.parse(text) as { readonly Backend?: unknown };
  return Backend === undefined ? undefined : JSON.stringify(Backend);
}

function stackOutputs(resources: readonly Resource[]): Readonly<Record<string, unknown>> {
  return resources.find(({ type }) => type === 'pulumi:pulumi:Stack')?.outputs ?? {};
}

export interface Loss {
  readonly key: string;
  readonly deployed: string;
  readonly configured: string;
}

const COUNTS = ['nodes', 'podsPerNode', 'etcdMembers'];
/** Another value replaces all machines or all pods. */
const RANGES = ['vpcCidr', 'podCidr', 'subnetLength'];
/** Another value interrupts the overlay while it rolls from node to node. */
const BACKEND = 'backend';

/** What `up` would remove, replace or interrupt though nobody asked for it in this command. `asked`: the keys it sets itself. */
export function findLosses(deployed: Deployed, effective: Settings, asked: ReadonlySet<string>): Loss[] {
  const losses: Loss[] = [];
  for (const key of [...COUNTS, ...RANGES, BACKEND]) {
    const [is, wanted] = [deployed.settings.get(key), effective.get(key)];
    if (is === undefined || wanted === undefined || asked.has(key)) continue;
    if (loses(key, is, wanted)) losses.push({ key, deployed: is, configured: wanted });
  }
  return losses;
}

function loses(key: string, deployed: string, configured: string): boolean {
  if (COUNTS.includes(key)) return Number(configured) < Number(deployed);
  return key === BACKEND ? !isSameBackend(deployed, configured) : configured !== deployed;
}

/** With all defaults filled in, which the deployed one has. */
function isSameBackend(one: string, other: string): boolean {
  const [a, b] = [one, other].map((text) => JSON.stringify(formatBackendConfig(parseBackendConfig(JSON.parse(text)))));
  return a === b;
}

/** For a checkout that has no settings of the stack: those that differ from the defaults, but for what the command sets. */
export function restoreSettings(
  deployed: Deployed,
  defaults: Settings,
  asked: ReadonlySet<string>,
): Readonly<Record<string, string>> {
  const isDefault = (key: string, value: string): boolean => {
    const text = defaults.get(key);
    return key === BACKEND && text !== undefined ? isSameBackend(value, text) : value === text;
  };
  return Object.fromEntries([...deployed.settings].filter(([key, value]) => !asked.has(key) && !isDefault(key, value)));
}

export function formatLosses(losses: readonly Loss[]): string {
  return losses
    .map(({ key, deployed, configured }) => `${key} is ${deployed} as deployed and ${configured} in the settings`)
    .join('; ');
}
