/** The backends by their type in the network config. */
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { createAllocBackend } from './alloc.ts';
import type { Backend, Identity } from './backend.ts';
import { createHostGwBackend } from './host-gw.ts';
import { createIpipBackend } from './ipip.ts';
import { createUdpBackend } from './udp.ts';
import { createVxlanBackend } from './vxlan.ts';
import { createWireguardBackend } from './wireguard.ts';

export function createBackend(config: NetworkConfig, identity: Identity): Backend {
  const { backend } = config;
  switch (backend.type) {
    case 'udp':
      return createUdpBackend(config, backend);
    case 'vxlan':
      return createVxlanBackend(config, backend, identity);
    case 'host-gw':
      return createHostGwBackend(config);
    case 'alloc':
      return createAllocBackend(config);
    case 'ipip':
      return createIpipBackend(config, backend);
    case 'wireguard':
      return createWireguardBackend(config, backend, identity);
  }
}
