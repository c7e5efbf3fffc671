/**
 * flannel's alloc backend: a lease and a subnet file, and nothing in the kernel. Something else carries the packets, like the routes of
 * a cloud (pkg/backend/alloc/alloc.go).
 */
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import type { Backend } from './backend.ts';
import { ownSubnets } from './routes.ts';
import { mtuForAll, publicAddresses } from './underlay.ts';

export function createAllocBackend(config: NetworkConfig): Backend {
  return {
    type: 'alloc',
    attributes: (external) => ({ ...publicAddresses(config, external), backendType: '' }),
    mtu: (external) => mtuForAll(config, external),
    desired: (node, leases) => ({
      state: { links: [], routes: [], complete: leases !== undefined },
      overlay: { mtu: mtuForAll(config, node.external), peers: [] },
      probing: { addresses: [], answers: 'node' },
      devices: Object.fromEntries(ownSubnets(config, node).map(({ family }) => [family, node.external.name])),
      refused: [],
    }),
  };
}
