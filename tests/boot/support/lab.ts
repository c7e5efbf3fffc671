/** A region with one VPC: instances, the metadata service of each, and the services they call. */
import { mkdtempSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { close, listenIn } from './listen.ts';
import { type BlockDevice, Machine } from './machine.ts';
import { type Credentials, type Instance, METADATA_ADDRESS, metadataService } from './metadata.ts';
import { Vpc } from './network.ts';
import { rootFileSystem } from './root-filesystem.ts';
import { REGION, Services } from './services.ts';
import { sweep } from './sweep.ts';
import { Volume } from './volume.ts';

/** Of the services: outside of the VPC, where its router knows the way. */
const SERVICES = { address: '198.51.100.10', port: 8080 };
export const SERVICES_URL = `http://${SERVICES.address}:${SERVICES.port}`;
const SERVICES_SUBNET = { gateway: `${SERVICES.address}/32` };

export interface Zone {
  readonly name: string;
  /** The VPC's address in the zone's subnet, with the prefix length: "10.64.1.1/24". */
  readonly gateway: string;
}

export interface InstanceSetup {
  readonly name: string;
  readonly address: string;
  readonly zone: Zone;
  readonly role: string;
  readonly credentials: Credentials;
  readonly userData: string;
  readonly disks?: readonly BlockDevice[];
  /** Name of the Auto Scaling group that it is in. */
  readonly group?: string;
}

let labs = 0;

export class Lab {
  readonly services = new Services();
  readonly id = `fltest-${process.pid}-boot${labs++}`;
  private readonly directory = mkdtempSync(join(tmpdir(), `${this.id}-`));
  private readonly machines = new Map<Machine, Instance>();
  private readonly volumes: Volume[] = [];
  private instances = 0;
  private ids = 0;
  private server: Server | undefined;

  private constructor(
    private readonly image: string,
    zones: readonly Zone[],
  ) {
    this.vpc = Vpc.create(this.id, [SERVICES_SUBNET, ...zones]);
  }

  private readonly vpc: Vpc;

  static async create(zones: readonly Zone[]): Promise<Lab> {
    sweep();
    const lab = new Lab(await rootFileSystem(), zones);
    lab.server = await listenIn(lab.vpc.netns, SERVICES.address, SERVICES.port, lab.services.answer);
    return lab;
  }

  /** A new instance, not switched on yet. */
  instance({ name, address, zone, role, credentials, userData, disks = [], group }: InstanceSetup): Machine {
    const number = this.instances++;
    const mac = `06:00:00:00:00:${number.toString(16).padStart(2, '0')}`;
    const place = { region: REGION, zone: zone.name };
    const described: Instance = {
      id: this.instanceId(),
      address,
      mac,
      ...place,
      role,
      credentials,
      userData,
      ...(group !== undefined && { group: { name: group, target: 'InService' } }),
    };
    let server: Server | undefined;
    const machine = new Machine({
      id: `${this.id}-${name}-${number}`,
      image: this.image,
      directory: mkdtempSync(join(this.directory, `${name}-`)),
      disks,
      connect: async () => {
        const netns = this.vpc.attach(`${name}-${number}`, {
          address,
          gateway: zone.gateway,
          mac,
          onLoopback: METADATA_ADDRESS,
        });
        const metadata = metadataService(() => this.machines.get(machine)!);
        server = await listenIn(netns, METADATA_ADDRESS, 80, metadata);
        return netns;
      },
      disconnect: async () => {
        if (server) await close(server);
      },
    });
    this.machines.set(machine, described);
    return machine;
  }

  /**
   * From the next boot on it is another instance with the disk of this one, as one made of its image: cloud-init does all
   * that it does when an instance is new.
   */
  reuse(machine: Machine, userData: string): void {
    this.machines.set(machine, { ...this.machines.get(machine)!, id: this.instanceId(), userData });
  }

  instanceOf(machine: Machine): Instance {
    return this.machines.get(machine)!;
  }

  /** The group has decided that the machine goes, and waits for its word. */
  retire(machine: Machine): void {
    const instance = this.instanceOf(machine);
    this.machines.set(machine, { ...instance, group: { name: instance.group!.name, target: 'Terminated' } });
  }

  private instanceId(): string {
    return `i-${String(this.ids++).padStart(17, '0')}`;
  }

  /** It is gone for good, with its disk; volumes stay. */
  async terminate(machine: Machine): Promise<void> {
    await machine.destroy();
    this.machines.delete(machine);
  }

  volume(name: string, megabytes: number): Volume {
    const volume = Volume.create(join(this.directory, `${name}.img`), megabytes);
    this.volumes.push(volume);
    return volume;
  }

  async destroy(): Promise<void> {
    await Promise.all([...this.machines.keys()].map((machine) => this.terminate(machine)));
    for (const volume of this.volumes.splice(0)) volume.destroy();
    if (this.server) await close(this.server);
    this.server = undefined;
    this.vpc.destroy();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
