/**
 * Everything a stack can be told, read and checked here and nowhere else. All mistakes are reported at once, one sentence
 * each, before the first resource is registered.
 */
import { checkAddressing } from '@flannel-ts/flannel/addressing';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { type Ipv4Prefix, parseIpv4PrefixStrict } from '@flannel-ts/inet/prefix';
import * as pulumi from '@pulumi/pulumi';
import { InfraError } from './errors.ts';
import { MAX_ETCD_MEMBERS, planAddresses } from './local/plan.ts';

export const ENVIRONMENTS = ['local'] as const;
export type EnvironmentName = (typeof ENVIRONMENTS)[number];

export interface Settings {
  readonly stack: string;
  readonly environment: EnvironmentName;
  readonly nodes: number;
  readonly podsPerNode: number;
  readonly etcdMembers: number;
  readonly vpc: Ipv4Prefix;
  readonly mtu: number;
  /** The directory of the artifact to run, with its manifest.json; relative to the project. */
  readonly artifact: string;
  /** flannel's own network configuration, as flanneld will read it from etcd. */
  readonly network: NetworkConfig;
}

/** Gives the text of a configuration key, or undefined; objects come as JSON. `pulumi.Config.get` is one. */
export type Lookup = (key: string) => string | undefined;

/** Names go into namespaces and paths. 30 characters leave room for the parts' names. */
const STACK_NAME = /^[a-z][a-z0-9-]{0,29}$/;
const MAX_NODES = 250;
const MAX_PODS_PER_NODE = 50;

/** The checked settings of the stack that runs; one RunError, without a stack trace, if they are wrong. */
export function readSettings(): Settings {
  const config = new pulumi.Config();
  try {
    return parseSettings(pulumi.getStack(), (key) => config.get(key));
  } catch (error) {
    if (error instanceof InfraError) throw new pulumi.RunError(error.message);
    throw error;
  }
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
  const { pods, subnetLength, backend, ...settings } = values as Complete<typeof values>;
  const { vpc, nodes, etcdMembers } = settings;
  if (etcdMembers % 2 === 0) {
    read.problem(`etcdMembers is ${etcdMembers}: an even number bears no more failures than one less, use 1, 3 or 5`);
  }
  read.attempt(() => planAddresses(vpc, etcdMembers, nodes));
  const addressing = checkAddressing({ ...settings, pods, subnetLength, backend });
  if (!addressing.ok) for (const { message } of addressing.problems) read.problem(message);
  read.done();
  return { stack, ...settings, network: (addressing as Extract<typeof addressing, { ok: true }>).config };
}

type Complete<T> = { readonly [K in keyof T]: Exclude<T[K], undefined> };

/** Reads values one by one and collects what is wrong with them. */
class Reader {
  private problems: string[] = [];

  constructor(private readonly lookup: Lookup) {}

  integer(key: string, min: number, max: number): number | undefined {
    return this.value(key, `a whole number from ${min} to ${max}`, (text) => {
      const value = Number(text);
      return /^-?\d+$/.test(text) && value >= min && value <= max ? value : undefined;
    });
  }

  choice<T extends string>(key: string, choices: readonly T[]): T | undefined {
    return this.value(key, `one of ${choices.join(', ')}`, (text) => choices.find((choice) => choice === text));
  }

  prefix(key: string): Ipv4Prefix | undefined {
    const text = this.text(key, 'an IPv4 range like 10.64.0.0/19');
    return text === undefined ? undefined : this.attempt(() => parseIpv4PrefixStrict(text), key);
  }

  directory(key: string): string | undefined {
    return this.value(key, 'a directory like dist', (text) => (text === '' ? undefined : text));
  }

  object(key: string): object | undefined {
    return this.value(key, 'an object like {"Type":"udp"}', (text) => {
      const value: unknown = JSON.parse(text);
      return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
    });
  }

  problem(sentence: string): void {
    this.problems.push(sentence);
  }

  /** What `make` gives; its error becomes a problem. */
  attempt<T>(make: () => T, key?: string): T | undefined {
    try {
      return make();
    } catch (error) {
      const message = (error as Error).message;
      this.problem(key === undefined ? message : `${key}: ${message}`);
      return undefined;
    }
  }

  /** Throws if there was a problem. */
  done(): void {
    if (this.problems.length === 0) return;
    throw new InfraError('INVALID_CONFIG', this.problems.join('\n'));
  }

  private value<T>(key: string, expected: string, parse: (text: string) => T | undefined): T | undefined {
    const text = this.text(key, expected);
    if (text === undefined) return undefined;
    const value = parseOrUndefined(parse, text);
    if (value === undefined) this.problem(`${key} is ${JSON.stringify(text)}: set ${expected}`);
    return value;
  }

  private text(key: string, expected: string): string | undefined {
    const text = this.lookup(key);
    if (text === undefined) this.problem(`${key} is not set: set ${expected}`);
    return text;
  }
}

function parseOrUndefined<T>(parse: (text: string) => T | undefined, text: string): T | undefined {
  try {
    return parse(text);
  } catch {
    return undefined;
  }
}
