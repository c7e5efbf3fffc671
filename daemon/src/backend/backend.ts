/**
 * A backend turns leases into desired state: a pure function of (all leases, own node). It opens nothing and remembers
 * nothing; state/ and node/ make true what it says.
 */
import type { Lease, LeaseAttributes } from '@flannel-ts/flannel/lease';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import type { Ipv6Prefix } from '@flannel-ts/inet/ipv6-prefix';
import type { Ipv4Prefix } from '@flannel-ts/inet/prefix';
import { DaemonError } from '../errors.ts';
import type { ExternalInterface } from '../node/interface.ts';
import type { DesiredState } from '../state/desired.ts';
import { createUdpBackend } from './udp.ts';

export interface OwnNode {
  readonly external: ExternalInterface;
  /** The leased subnets. */
  readonly subnet: Ipv4Prefix;
  readonly ipv6Subnet?: Ipv6Prefix;
  /** Name of the tunnel's device, which the kernel chose when it was made. */
  readonly device: string;
}

export interface Backend {
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
  if (!config.enableIpv4) {
    throw new DaemonError(
      'UNSUPPORTED_BACKEND',
      `Backend type ${backend.type} reaches other nodes by IPv4 only: set EnableIPv4 to true in the network config, beside EnableIPv6`,
    );
  }
  return create(config, backend as never);
}
