/**
 * A backend turns leases into desired state: a pure function of (all leases, own node). It opens nothing and remembers
 * nothing; state/ and node/ make true what it says.
 */
import type { OuterMode } from '@flannel-ts/flannel/backend-config';
import type { Lease, LeaseAttributes, LeaseSubnets } from '@flannel-ts/flannel/lease';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { DaemonError } from '../errors.ts';
import type { DesiredState } from '../state/desired.ts';
import type { ExternalInterface } from '../underlay/select.ts';
import { createUdpBackend } from './udp.ts';

/** With the leased subnets. */
export type OwnNode = LeaseSubnets & {
  readonly external: ExternalInterface;
  /** Name of the tunnel's device, which the kernel chose when it was made. */
  readonly device: string;
};

export interface Backend {
  /** What nodes reach each other by. */
  readonly mode: OuterMode;
  /** What the lease of this node tells the others. */
  attributes(external: ExternalInterface): LeaseAttributes;
  /** What fits through the overlay; goes into subnet.env. */
  mtu(external: ExternalInterface): number;
  desiredState(node: OwnNode, leases: Iterable<Lease>): DesiredState;
}

type BackendConfig = NetworkConfig['backend'];
type Factory<T extends BackendConfig['type']> = (
  config: NetworkConfig,
  backend: Extract<BackendConfig, { readonly type: T }>,
) => Backend;

const BACKENDS: { readonly [T in BackendConfig['type']]?: Factory<T> } = { udp: createUdpBackend };

export const AVAILABLE_BACKENDS = Object.keys(BACKENDS);

/** Throws UNSUPPORTED_BACKEND for a type that flannel knows and this daemon does not. */
export function createBackend(config: NetworkConfig): Backend {
  const { backend } = config;
  const create = BACKENDS[backend.type] as Factory<typeof backend.type> | undefined;
  if (create === undefined) {
    throw new DaemonError(
      'UNSUPPORTED_BACKEND',
      `Backend type ${backend.type} is not available in this flanneld: set Backend.Type in the network config to ${AVAILABLE_BACKENDS.join(' or ')}`,
    );
  }
  return create(config, backend as never);
}
