/**
 * What the parts of the AWS environment hand to each other. The components' own arguments are beside them; here is what more
 * than one of them needs, so that none has to import another.
 */
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import type * as pulumi from '@pulumi/pulumi';

export type Architecture = 'arm64' | 'amd64';

/** What machines run as; names their security group, instance role and parameters. */
export type Role = 'node' | 'etcd';

/** Where a machine with a fixed address stands. */
export interface MachinePlace {
  readonly name: string;
  readonly zone: string;
  readonly subnetId: pulumi.Input<string>;
  readonly address: string;
}

/** What all machines of a role have in common. */
export interface MachineKind {
  readonly role: Role;
  readonly architecture: Architecture;
  readonly instanceType: string;
  readonly imageId: pulumi.Input<string>;
  /** A setting names the image, so that machines which hold data are replaced for it as well. */
  readonly imageAsked: boolean;
  readonly securityGroupId: pulumi.Input<string>;
  /** Name of the instance profile. */
  readonly instanceProfile: pulumi.Input<string>;
}

/** An object of a bucket that a machine fetches, and verifies. Also what boot/userdata.ts takes. */
export interface StoredObject {
  readonly bucket: pulumi.Input<string>;
  readonly key: string;
  readonly sha256: string;
}

/** A folder of a bucket. */
export interface ObjectFolder {
  readonly bucket: pulumi.Input<string>;
  /** Without a slash at its end. */
  readonly prefix: string;
}

/** What protects a stack's data, and how it goes. */
export interface DataProtection {
  /** No resource that holds data or addresses can be deleted by Pulumi. */
  readonly protect: boolean;
  /** Data volumes and snapshots stay in the account when the stack goes. */
  readonly retainData: boolean;
  /** Buckets are emptied when the stack goes. */
  readonly forceDestroy: boolean;
}

/** Arguments of the Etcd component (etcd.ts). */
export interface EtcdArgs {
  readonly stack: string;
  readonly region: string;
  readonly machines: MachineKind;
  /** One member at each; the order is that of a rolling replacement. */
  readonly members: readonly MachinePlace[];
  /** etcd's own binaries, for the machines' architecture. */
  readonly artifact: StoredObject;
  /** flannel's network configuration, seeded when etcd has none. */
  readonly network: NetworkConfig;
  /** The stack's key: data volumes, parameters. */
  readonly keyArn: pulumi.Input<string>;
  readonly snapshots: ObjectFolder;
  readonly data: DataProtection;
  /** For launch-time tags; resources get them by the provider. */
  readonly tags: Readonly<Record<string, pulumi.Input<string>>>;
  /** Made before another network configuration is written, which running nodes follow at once. */
  readonly beforeNetwork?: readonly pulumi.Resource[];
}

/** What the Etcd component offers. */
export interface EtcdOutputs {
  /** https://ADDRESS:2379 of each member. */
  readonly endpoints: readonly string[];
  /** Names of the SecureString parameters that a node reads. */
  readonly nodeParameters: { readonly ca: string; readonly certificate: string; readonly key: string };
  /** Who depends on it finds etcd's machines, and the nodes' parameters with their values. */
  readonly ready: readonly pulumi.Resource[];
  /** Secret. For people and tests outside. */
  readonly client: pulumi.Output<{ readonly ca: string; readonly cert: string; readonly key: string }>;
}

/** Names of a group's lifecycle hooks. A node completes both itself. */
export const HOOKS = { launch: 'flannel-ready', terminate: 'flannel-lease-given-back' } as const;

/** Below which a role's parameters are, of the stack with this id; its instance role may read these and no others. */
export function parameterPath(stack: string, role: Role): string {
  return `/flannel/${stack}/${role}`;
}
