/**
 * Everything a stack can be told, read and checked here and nowhere else. All mistakes are reported at once, one sentence
 * each, before the first resource is registered.
 */
import { checkAddressing } from '@flannel-ts/flannel/addressing';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import type { Ipv4Prefix } from '@flannel-ts/inet/prefix';
import * as pulumi from '@pulumi/pulumi';
import { type AwsSettings, readAwsSettings } from './aws/settings.ts';
import { orRunError } from './configured.ts';
import { MAX_ETCD_MEMBERS, planAddresses } from './local/plan.ts';
import { type Complete, type Lookup, Reader } from './reader.ts';

export const ENVIRONMENTS = ['local', 'aws'] as const;
export type EnvironmentName = (typeof ENVIRONMENTS)[number];

/** What every environment is told. */
export interface CommonSettings {
  readonly stack: string;
  readonly nodes: number;
  readonly etcdMembers: number;
  readonly vpc: Ipv4Prefix;
  readonly mtu: number;
  /** The directory of the artifact to run, with its manifest.json; relative to the project. */
  readonly artifact: string;
  /** flannel's own network configuration, as flanneld will read it from etcd. */
  readonly network: NetworkConfig;
}

export interface LocalSettings extends CommonSettings {
  readonly environment: 'local';
  readonly podsPerNode: number;
}

export interface CloudSettings extends CommonSettings {
  readonly environment: 'aws';
  readonly aws: AwsSettings;
}

export type Settings = LocalSettings | CloudSettings;

/** Names go into namespaces and paths. 30 characters leave room for the parts' names. */
const STACK_NAME = /^[a-z][a-z0-9-]{0,29}$/;
const MAX_NODES = 250;
const MAX_PODS_PER_NODE = 50;

/** The checked settings of the stack that runs; one RunError, without a stack trace, if they are wrong. */
export function readSettings(): Settings {
  const config = new pulumi.Config();
  return orRunError(() => parseSettings(pulumi.getStack(), (key) => config.get(key)));
}

export function parseSettings(stack: string, lookup: Lookup): Settings {
  const read = new Reader(lookup);
  if (!STACK_NAME.test(stack)) {
    read.problem(
      `Stack name "${stack}" cannot be used in names of namespaces: take up to 30 lower-case letters, digits and dashes, beginning with a letter`,
    );
  }
  const values = {
    environment: read.choice('environment', ENVIRONMENTS),
    nodes: read.integer('nodes', 1, MAX_NODES),
    podsPerNode: read.integer('podsPerNode', 0, MAX_PODS_PER_NODE),
    etcdMembers: read.integer('etcdMembers', 1, MAX_ETCD_MEMBERS),
    vpc: read.prefix('vpcCidr'),
    mtu: read.integer('mtu', 576, 9216),
    pods: read.prefix('podCidr'),
    subnetLength: read.integer('subnetLength', 1, 30),
    backend: read.object('backend'),
    artifact: read.directory('artifact'),
  };
  read.done();
  return check(read, stack, values as Complete<typeof values>);
}

interface Values extends Omit<CommonSettings, 'stack' | 'network'> {
  readonly environment: EnvironmentName;
  readonly podsPerNode: number;
  readonly pods: Ipv4Prefix;
  readonly subnetLength: number;
  readonly backend: object;
}

/** What the values are together. */
function check(read: Reader, stack: string, values: Values): Settings {
  const { environment, podsPerNode, pods, subnetLength, backend, ...common } = values;
  const { vpc, nodes, etcdMembers } = common;
  const local = environment === 'local';
  if (etcdMembers % 2 === 0) {
    read.problem(`etcdMembers is ${etcdMembers}: an even number bears no more failures than one less, use 1, 3 or 5`);
  }
  if (local) read.attempt(() => planAddresses(vpc, etcdMembers, nodes));
  const addressing = checkAddressing({ ...common, pods, subnetLength, backend, ...(local && { podsPerNode }) });
  if (!addressing.ok) for (const { message } of addressing.problems) read.problem(message);
  const aws = local ? undefined : readAwsSettings(read, values);
  read.done();
  const { config: network } = addressing as Extract<typeof addressing, { ok: true }>;
  return aws === undefined
    ? { stack, environment: 'local', ...common, podsPerNode, network }
    : { stack, environment: 'aws', ...common, network, aws };
}
