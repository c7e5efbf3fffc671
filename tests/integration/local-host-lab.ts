/** Drives the host module as Pulumi's provider process does, with doubles of flanneld and of the CNI plugin. */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type * as host from '@flannel-ts/infra/host';

type Host = typeof host;
type Kind = keyof Host['handlers'];
type Properties = Record<string, unknown>;

const ROOT = path.join(__dirname, '../..');
export const UNKNOWN = '04da6b54-80e4-46f7-96ec-b56ff0331ba9';

/** The bundle, as it would be loaded from the state. */
export function loadHost(): Host {
  execFileSync(process.execPath, [path.join(ROOT, 'infra/build.mjs')]);
  return require('@flannel-ts/infra/host') as Host;
}

/** A resource in the state: what Pulumi would remember of it. */
export class Resource {
  id = '';
  outs: Properties = {};

  constructor(
    private readonly host: Host,
    private readonly kind: Kind,
    public inputs: Properties,
  ) {}

  async create(): Promise<this> {
    try {
      Object.assign(this, await this.handler.create(this.inputs));
    } catch (error) {
      const { id, properties } = error as { id: string; properties: Properties };
      Object.assign(this, { id, outs: properties });
      throw error;
    }
    return this;
  }

  /** As `pulumi refresh`: what is wrong, '' if nothing is, undefined if the thing has gone. */
  async refresh(): Promise<string | undefined> {
    const { id, props } = await this.handler.read(this.id, this.outs);
    if (id === undefined) return undefined;
    this.outs = props!;
    return props!.drift as string;
  }

  diff(changes: Properties = {}) {
    return this.handler.diff(this.id, this.outs, { ...this.inputs, ...changes });
  }

  /** As an update by `pulumi up`; nothing happens if there is nothing to do. */
  async update(changes: Properties = {}): Promise<boolean> {
    const { changes: needed } = await this.diff(changes);
    this.inputs = { ...this.inputs, ...changes };
    if (!needed) return false;
    try {
      Object.assign(this, await this.handler.update(this.id, this.outs, this.inputs));
    } catch (error) {
      this.outs = (error as { properties: Properties }).properties;
      throw error;
    }
    return true;
  }

  delete(): Promise<void> {
    return this.handler.delete(this.id, this.outs);
  }

  private get handler() {
    return this.host.handlers[this.kind];
  }
}

export interface BuiltArtifact {
  readonly url: string;
  readonly sha256: string;
}

/** Things to make resources of, for one stack. */
export class Lab {
  readonly directory = mkdtempSync(path.join(tmpdir(), 'fltest-local-'));

  constructor(
    readonly host: Host,
    readonly stack: string,
  ) {}

  resource(kind: Kind, inputs: Properties): Resource {
    return new Resource(this.host, kind, { stack: this.stack, ...inputs });
  }

  vpc(changes: Properties = {}): Promise<Resource> {
    return this.resource('vpc', { cidr: '10.64.0.0/19', gateway: '10.64.0.1', mtu: 1500, ...changes }).create();
  }

  machine(machine: string, address: string): Promise<Resource> {
    const where = { address, prefixLength: 19, gateway: '10.64.0.1', mtu: 1500, vpc: 'vpc' };
    return this.resource('machine', { machine, ...where }).create();
  }

  /** An artifact of doubles; another `version` gives another sha256. */
  artifact(version: string): BuiltArtifact {
    const source = path.join(this.directory, version);
    mkdirSync(path.join(source, 'cni'), { recursive: true });
    cpSync(path.join(__dirname, 'doubles/flanneld'), path.join(source, 'flanneld'));
    cpSync(path.join(__dirname, 'doubles/cni-flannel'), path.join(source, 'cni/flannel'));
    writeFileSync(path.join(source, 'version'), version);
    const file = `${source}.tar.gz`;
    execFileSync('tar', ['--create', '--gzip', '--file', file, '--directory', source, '.']);
    return { url: `file://${file}`, sha256: createHash('sha256').update(readFileSync(file)).digest('hex') };
  }

  root(machine: string): string {
    return `/var/lib/flannel-local/${this.stack}/nodes/${machine}`;
  }

  netns(part: string): string {
    return `/run/netns/flannel.${this.stack}.${part}`;
  }

  status(machine: string, service: string): Properties & { pid: number; supervisor: { pid: number } } {
    return JSON.parse(readFileSync(path.join(this.root(machine), `run/${service}.status.json`), 'utf8'));
  }

  async clean(): Promise<void> {
    await this.host.sweep(this.stack);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Runs a command in a namespace; undefined if it fails. */
export function inside(netns: string, ...command: string[]): string | undefined {
  const { status, stdout } = spawnSync('nsenter', [`--net=${netns}`, ...command], { encoding: 'utf8' });
  return status === 0 ? stdout : undefined;
}

export async function until<T>(what: () => T | Promise<T>, seconds = 20): Promise<T> {
  for (const deadline = Date.now() + seconds * 1000; Date.now() < deadline; ) {
    const value = await what();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`Waited ${seconds} s in vain for ${what}`);
}

export function alive(pid: number): boolean {
  return existsSync(`/proc/${pid}`) && !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
}
