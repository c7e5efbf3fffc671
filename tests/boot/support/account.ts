/** Machines of a stack that Pulumi has made in the test double: what its state says is in the account, is in the lab. */
import { readFileSync } from 'node:fs';
import { addressAt, formatInterfaceAddress, parsePrefix } from '@flannel-ts/inet/prefix';
import type { Statement } from '../../../infra/aws/policy.ts';
import { STACK_TAG } from '../../../infra/aws/tags.ts';
import type { StateResource } from '../../aws/support/project.ts';
import { shortType, userDataOf } from '../../aws/support/stack.ts';
import { Lab, SERVICES_URL, type Zone } from './lab.ts';
import type { BlockDevice, Machine } from './machine.ts';
import type { Credentials } from './metadata.ts';
import type { Volume } from './volume.ts';

type Properties = Readonly<Record<string, unknown>>;

/** As `pulumi stack export --show-secrets` marks a secret and an asset. */
const SIGNATURE = '4dabf18193072939515e22adb298388d';

export class Account {
  readonly machines = new Map<string, Machine>();
  private resources: readonly StateResource[] = [];
  private readonly credentials = new Map<string, Credentials>();
  private readonly volumes = new Map<string, Volume>();
  /** Ids of instances. */
  private readonly running = new Map<string, string>();

  private constructor(
    private readonly stack: string,
    readonly lab: Lab,
  ) {}

  /** Its machines are off. */
  static async create(stack: string, state: readonly StateResource[]): Promise<Account> {
    const zones = of(state, 'Subnet').map(({ outputs }) => zoneOf(outputs!));
    const account = new Account(stack, await Lab.create(zones));
    try {
      await account.follow(state);
      return account;
    } catch (error) {
      await account.lab.destroy();
      throw error;
    }
  }

  /** What `up` has changed: instances that are gone end, new ones are there and off. Returns the names of the new ones. */
  async follow(state: readonly StateResource[]): Promise<string[]> {
    this.resources = state.map((each) => reveal(each) as StateResource);
    this.furnish();
    const changed = of(this.resources, 'Instance').filter((each) => this.running.get(nameOf(each)) !== each.id);
    for (const instance of changed) {
      const name = nameOf(instance);
      const old = this.machines.get(name);
      if (old !== undefined) {
        await old.shutDown();
        await this.lab.terminate(old);
      }
      this.machines.set(name, this.machine(instance));
      this.running.set(name, instance.id!);
    }
    return changed.map(nameOf).sort();
  }

  private furnish(): void {
    const { services } = this.lab;
    services.account = String(of(this.resources, 'Key')[0]!.outputs!.arn).split(':')[4]!;
    services.instanceTags[STACK_TAG] = this.stack;
    for (const { inputs } of of(this.resources, 'Parameter')) {
      const { name, type, value, insecureValue } = inputs as Record<string, string>;
      const kind = type === 'SecureString' ? 'SecureString' : 'String';
      services.parameters.set(name!, { type: kind, value: (value ?? insecureValue)! });
    }
    for (const { inputs } of of(this.resources, 'BucketObjectv2')) {
      const { bucket, key, source } = inputs as { bucket: string; key: string; source: { path: string } };
      services.objects.set(`${bucket}/${key}`, readFileSync(source.path));
    }
    for (const { inputs } of of(this.resources, 'RolePolicy')) {
      const { role, policy } = inputs as { role: string; policy: string };
      if (this.credentials.has(role)) continue;
      const { Statement } = JSON.parse(policy) as { Statement: Statement[] };
      this.credentials.set(role, services.addRole(role, Statement));
    }
  }

  private machine(instance: StateResource): Machine {
    const { iamInstanceProfile, primaryNetworkInterface } = instance.inputs as {
      iamInstanceProfile: string;
      primaryNetworkInterface: { networkInterfaceId: string };
    };
    const networkInterface = this.byId('NetworkInterface', primaryNetworkInterface.networkInterfaceId);
    const profile = this.byId('InstanceProfile', iamInstanceProfile);
    const role = String(profile.inputs!.role);
    return this.lab.instance({
      name: nameOf(instance),
      address: (networkInterface.inputs!.privateIps as string[])[0]!,
      zone: zoneOf(this.byId('Subnet', String(networkInterface.inputs!.subnetId)).outputs!),
      role,
      credentials: this.credentials.get(role)!,
      userData: withEndpoints(userDataOf(instance.inputs!)),
      disks: this.disks(instance),
    });
  }

  private disks(instance: StateResource): BlockDevice[] {
    const attachments = of(this.resources, 'VolumeAttachment').filter(
      ({ inputs }) => inputs!.instanceId === instance.id,
    );
    return attachments.map(({ inputs }) => {
      const id = String(inputs!.volumeId);
      const volume = this.volumes.get(id) ?? this.lab.volume(id, 512);
      this.volumes.set(id, volume);
      return volume.as(String(inputs!.deviceName).replace('/dev/', ''));
    });
  }

  private byId(type: string, id: string): StateResource {
    const found = of(this.resources, type).find((resource) => resource.id === id);
    if (found === undefined) throw new Error(`The state has no ${type} ${id}`);
    return found;
  }
}

function of(resources: readonly StateResource[], type: string): StateResource[] {
  return resources.filter((resource) => resource.custom && shortType(resource.type) === type);
}

function nameOf({ urn }: StateResource): string {
  return urn.split('::').at(-1)!;
}

function zoneOf({ availabilityZone, cidrBlock }: Properties): Zone {
  const prefix = parsePrefix(String(cidrBlock), 4);
  const address = addressAt(prefix, 1);
  return { name: String(availabilityZone), gateway: formatInterfaceAddress({ address, length: prefix.length }) };
}

/** The one thing that a machine is told here and not in AWS: where the services are. */
function withEndpoints(userData: string): string {
  const endpoints = ['S3', 'SSM', 'EC2', 'AUTOSCALING'].map((service) => `ENDPOINT_${service}=${SERVICES_URL}`);
  const told = userData.replace(/^( +)(REGION=.*)$/m, (_, indent: string, region: string) =>
    [region, ...endpoints].map((line) => indent + line).join('\n'),
  );
  if (told === userData) throw new Error('The user-data has no REGION in its bootstrap.env');
  return told;
}

/** Secrets in clear. */
function reveal(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reveal);
  if (typeof value !== 'object' || value === null) return value;
  const { [SIGNATURE]: mark, plaintext } = value as { [SIGNATURE]?: string; plaintext?: string };
  if (mark !== undefined && plaintext !== undefined) return reveal(JSON.parse(plaintext));
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, reveal(inner)]));
}
