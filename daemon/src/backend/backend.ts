/**
 * A backend turns leases into what the node should look like: a pure function of this node and all leases. It opens nothing and
 * remembers nothing; state/ and a data path make true what it says. Types only: the backends are found by registry.ts.
 */
import type { Lease, LeaseAttributes, LeaseSubnets } from '@flannel-ts/flannel/lease';
import type { Family } from '@flannel-ts/inet/family';
import type { Ip } from '@flannel-ts/inet/ip';
import type { Mac } from '@flannel-ts/inet/mac';
import type { Overlay, Transport } from '../datapath/datapath.ts';
import type { DesiredState } from '../state/desired.ts';
import type { ExternalInterface } from '../underlay/select.ts';

/** With the leased subnets. */
export type OwnNode = LeaseSubnets & {
  readonly external: ExternalInterface;
  /** Name of the data path's device; absent before there is one. */
  readonly device?: string;
} & Surroundings;

/** What a lease must not break. */
export interface Surroundings {
  /** Every address of this host. */
  readonly addresses: readonly Ip[];
  /** What the overlay itself has to reach, beside its peers. */
  readonly required: readonly RequiredAddress[];
  /** Addresses to which this host would send through a tunnel, and the tunnel's device. */
  readonly tunnelled: ReadonlyMap<Ip, string>;
  /** Nodes on a link of this host's, which it sends to without a gateway, and the device. */
  readonly direct: ReadonlyMap<Ip, string>;
}

export interface RequiredAddress {
  readonly address: Ip;
  /** For messages, like `etcd`. */
  readonly what: string;
}

export interface RefusedLease {
  readonly lease: Lease;
  /** One sentence. */
  readonly reason: string;
}

export interface Desired {
  readonly state: DesiredState;
  readonly overlay: Overlay;
  /** By which packets for other nodes' pods leave, of each family: a device of ours, or the interface to the other nodes. */
  readonly devices: { readonly [F in Family]?: string };
  /** For a data path of ours; absent for a backend that leaves packets to the kernel. */
  readonly transport?: Transport;
  readonly probing: Probing;
  readonly refused: readonly RefusedLease[];
}

/** How to find out whether peers are reached. */
export interface Probing {
  /** Of this node, one for each family that can be asked. */
  readonly addresses: readonly Ip[];
  /** Who answers at the peer: its device of the overlay, or, where there is none, its bridge of pods or the node itself. */
  readonly answers: 'device' | 'node';
}

/** What other nodes know this one by, kept over restarts and reboots: made when it is first asked for. */
export interface Identity {
  /** Of the VTEP that this device is. */
  mac(device: string): Mac;
  /** A private key, in Base64. A secret. */
  wireguardKey(): string;
}

export interface Backend {
  readonly type: string;
  /** What the lease of this node says to the others. */
  attributes(external: ExternalInterface): LeaseAttributes;
  /** What fits through the overlay; goes into subnet.env. */
  mtu(external: ExternalInterface): number;
  /** Without leases: they are not known yet. */
  desired(node: OwnNode, leases: Iterable<Lease> | undefined): Desired;
}
