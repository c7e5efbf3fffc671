/** The backends that this daemon has, by their type in the network config. */
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { DaemonError } from '../errors.ts';
import { createAllocBackend } from './alloc.ts';
import type { Backend, Identity } from './backend.ts';
import { createHostGwBackend } from './host-gw.ts';
import { createUdpBackend } from './udp.ts';
import { createVxlanBackend } from './vxlan.ts';

type BackendConfig = NetworkConfig['backend'];
type Factory<T extends BackendConfig['type']> = (
  config: NetworkConfig,
  backend: Extract<BackendConfig, { readonly type: T }>,
  identity: Identity,
) => Backend;

const BACKENDS: { readonly [T in BackendConfig['type']]?: Factory<T> } = {
  udp: createUdpBackend,
  vxlan: createVxlanBackend,
  'host-gw': createHostGwBackend,
  alloc: createAllocBackend,
};

export const AVAILABLE_BACKENDS = Object.keys(BACKENDS);

/** Throws UNSUPPORTED_BACKEND for a type that flannel knows and this daemon does not. */
export function createBackend(config: NetworkConfig, identity: Identity): Backend {
  const { backend } = config;
  const create = BACKENDS[backend.type] as Factory<typeof backend.type> | undefined;
  if (create === undefined) {
    throw new DaemonError(
      'UNSUPPORTED_BACKEND',
      `Backend type ${backend.type} is not available in this flanneld: set Backend.Type in the network config to ${AVAILABLE_BACKENDS.join(' or ')}`,
    );
  }
  return create(config, backend as never, identity);
}
