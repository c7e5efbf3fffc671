/** The settings that only stacks in AWS have. Checked with the others, before anything is created. */
import type { BackendConfig } from '@flannel-ts/flannel/backend-config';
import type { Prefix } from '@flannel-ts/inet/prefix';
import { underlayNeeds } from '../node/underlay.ts';
import type { Complete, Reader } from '../reader.ts';
import type { Architecture, DataProtection } from './contract.ts';
import { checkNodesFit, checkPods, MAX_ZONES, placeEtcd, placeNodes, planSubnets, type SubnetPlan } from './subnets.ts';

/** How many NAT gateways: one for all zones, one in each, or no way out at all. */
export const NAT_MODES = ['one', 'zone', 'none'] as const;
export type NatMode = (typeof NAT_MODES)[number];

/** Nodes in an Auto Scaling group, or single instances with fixed addresses. */
export const NODE_MODES = ['group', 'instances'] as const;
export type NodeMode = (typeof NODE_MODES)[number];

export const ARCHITECTURES: readonly Architecture[] = ['arm64', 'amd64'];

export const AWS_KEYS = [
  'region',
  'zones',
  'nat',
  'vpcEndpoints',
  'flowLogs',
  'architecture',
  'instanceType',
  'etcdInstanceType',
  'imageId',
  'etcdImageId',
  'nodeMode',
  'ttlHours',
  'etcdArtifact',
  'protect',
  'retainData',
  'forceDestroy',
  'permissionsBoundary',
] as const;

export interface AwsSettings {
  readonly region: string;
  readonly nat: NatMode;
  /** Interface endpoints, so that Session Manager and parameters need no internet access. They are charged by the hour. */
  readonly vpcEndpoints: boolean;
  readonly flowLogs: boolean;
  readonly architecture: Architecture;
  readonly instanceType: string;
  readonly etcdInstanceType: string;
  /** If absent, the Amazon Linux 2023 that was the newest when the stack was made. */
  readonly imageId?: string;
  /** For etcd's machines, which are replaced for it one after another. */
  readonly etcdImageId?: string;
  readonly nodeMode: NodeMode;
  /** 0: no expiry. */
  readonly ttlHours: number;
  readonly data: DataProtection;
  /** The directory of etcd's binaries, with their manifest.json; relative to the project. */
  readonly etcdArtifact: string;
  /** ARN of the policy that limits every role of the stack; the documented permissions of who deploys demand one. */
  readonly permissionsBoundary?: string;
  readonly subnets: SubnetPlan;
}

/** The settings of all environments that are checked together with these. */
export interface SharedValues {
  readonly vpc: Prefix<4>;
  readonly pods: Prefix<4>;
  readonly nodes: number;
  readonly etcdMembers: number;
  readonly mtu: number;
  /** Undefined if it is invalid. */
  readonly backend: BackendConfig | undefined;
}

/** Of an elastic network interface in a VPC (EC2 user guide, "Jumbo frames"). */
const MAX_MTU = 9001;
const MAX_TTL_HOURS = 24 * 31;
/** Enough to run nodes and try the network: the cheapest types of the current generations. */
const SMALL: Readonly<Record<Architecture, string>> = { arm64: 't4g.small', amd64: 't3.small' };

const REGION = /^[a-z]{2}(-[a-z]+)+-\d$/;
const INSTANCE_TYPE = /^[a-z]+\d[a-z0-9-]*\.(nano|micro|small|medium|large|\d*xlarge|metal(-\d+xl)?)$/;
const POLICY = /^arn:aws[a-z-]*:iam::\d{12}:policy\/[\w+=,.@/-]+$/;
const IMAGE = /^ami-[0-9a-f]{8}([0-9a-f]{9})?$/;

/** Undefined if something is wrong; the reader has recorded it. */
export function readAwsSettings(read: Reader, shared: SharedValues): AwsSettings | undefined {
  const architecture = read.choice('architecture', ARCHITECTURES, 'amd64');
  const small = SMALL[architecture ?? 'amd64'];
  const type = (key: string) => read.matching(key, INSTANCE_TYPE, `an instance type like ${small}`, small);
  const values = {
    region: read.matching('region', REGION, 'a region like eu-central-1'),
    nat: read.choice('nat', NAT_MODES, 'one'),
    vpcEndpoints: read.boolean('vpcEndpoints', false),
    flowLogs: read.boolean('flowLogs', false),
    architecture,
    instanceType: type('instanceType'),
    etcdInstanceType: type('etcdInstanceType'),
    nodeMode: read.choice('nodeMode', NODE_MODES, 'group'),
    ttlHours: read.integer('ttlHours', 0, MAX_TTL_HOURS, 0),
    etcdArtifact: read.directory('etcdArtifact', 'dist/etcd'),
  };
  const image = (key: string) =>
    read.has(key) ? read.matching(key, IMAGE, 'an image like ami-0123456789abcdef0') : undefined;
  const [imageId, etcdImageId] = [image('imageId'), image('etcdImageId')];
  const permissionsBoundary = read.has('permissionsBoundary')
    ? read.matching(
        'permissionsBoundary',
        POLICY,
        'the ARN of a policy like arn:aws:iam::123456789012:policy/flannel-boundary',
      )
    : undefined;
  const optional = {
    ...(imageId !== undefined && { imageId }),
    ...(etcdImageId !== undefined && { etcdImageId }),
    ...(permissionsBoundary !== undefined && { permissionsBoundary }),
  };
  const data = readProtection(read);
  const subnets = readSubnets(read, values.region, shared, values.nodeMode ?? 'group');
  if (Object.values(values).includes(undefined) || data === undefined || subnets === undefined) return undefined;
  const settings = { ...(values as Complete<typeof values>), data, subnets, ...optional };
  checkTogether(read, settings, shared);
  return settings;
}

function readProtection(read: Reader): DataProtection | undefined {
  const values = {
    protect: read.boolean('protect', false),
    retainData: read.boolean('retainData', false),
    forceDestroy: read.boolean('forceDestroy', false),
  };
  return Object.values(values).includes(undefined) ? undefined : (values as Complete<typeof values>);
}

function readSubnets(
  read: Reader,
  region: string | undefined,
  shared: SharedValues,
  mode: NodeMode,
): SubnetPlan | undefined {
  const zones = read.strings('zones', `1 to ${MAX_ZONES} zones like ["eu-central-1a"]`);
  if (zones === undefined || region === undefined) return undefined;
  const strange = zones.find((zone) => !(zone.startsWith(region) && /^[a-z]$/.test(zone.slice(region.length))));
  if (strange !== undefined) {
    read.problem(`Zone "${strange}" is none of region ${region}: name zones like ${region}a`);
    return undefined;
  }
  return read.attempt(() => {
    const plan = planSubnets(shared.vpc, zones);
    placeEtcd(plan, shared.etcdMembers);
    if (mode === 'instances') placeNodes(plan, shared.nodes);
    else checkNodesFit(plan, shared.nodes);
    return plan;
  });
}

/** Values that are valid on their own and contradict each other. */
function checkTogether(read: Reader, settings: AwsSettings, { pods, mtu, backend }: SharedValues): void {
  const { nat, vpcEndpoints, ttlHours, architecture } = settings;
  const { protect, forceDestroy } = settings.data;
  read.attempt(() => checkPods(pods));
  if (mtu > MAX_MTU) read.problem(`mtu is ${mtu}: an interface in a VPC takes at most ${MAX_MTU}`);
  if (nat === 'none' && !vpcEndpoints) {
    read.problem('nat is "none" and vpcEndpoints is false: nodes would not reach their parameters, set one of them');
  }
  if (protect && ttlHours > 0) {
    read.problem(`protect is true and ttlHours is ${ttlHours}: what expires must be deletable, set one of them`);
  }
  if (protect && forceDestroy) {
    read.problem('protect and forceDestroy are both true: set the one that you mean');
  }
  if (backend !== undefined) checkOneLink(read, backend, settings.subnets.zones);
  for (const key of ['instanceType', 'etcdInstanceType'] as const) {
    const found = instanceArchitecture(settings[key]);
    if (found === architecture) continue;
    read.problem(
      `${key} ${settings[key]} is ${found} and architecture is ${architecture}: take one like ${SMALL[architecture]}`,
    );
  }
}

/** The nodes of each zone have a subnet of their own, with the VPC's router between them. */
function checkOneLink(read: Reader, backend: BackendConfig, zones: readonly string[]): void {
  if (zones.length === 1 || !underlayNeeds(backend).oneLink) return;
  read.problem(
    `backend is ${backend.type} and there are ${zones.length} zones: nodes of different zones are not on one link, so that ${backend.type} cannot route between them; set zones to one, or backend to {"Type":"vxlan","DirectRouting":true}, which encapsulates only between zones`,
  );
}

/** From the name of an instance type: a "g" after the generation stands for Graviton; a1 was the first of these. */
export function instanceArchitecture(instanceType: string): Architecture {
  const [, family, attributes] = /^([a-z]+\d+)([a-z-]*)/.exec(instanceType) ?? [];
  return family === 'a1' || attributes?.includes('g') ? 'arm64' : 'amd64';
}
