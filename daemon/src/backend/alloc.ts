/**
 * flannel's alloc backend: a lease and a subnet file, and nothing in the kernel. Something else carries the packets, like the routes of
 * a cloud (pkg/backend/alloc/alloc.go).
 */
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { publicAddresses } from './attributes.ts';
import type { Backend } from './backend.ts';
import { familiesOf, mtuInside } from './mtu.ts';
import { ownSubnets } from './routes.ts';

export function createAllocBackend(config: NetworkConfig): Backend {
  const families = familiesOf(config);
  const mtu: Backend['mtu'] = (external) => mtuInside(config, families[0]!, families, external);
  return {
    type: 'alloc',
    attributes: (external) => ({ ...publicAddresses(config, external), backendType: '' }),
    mtu,
    desired: (node, leases) => ({
      state: { links: [], routes: [], complete: leases !== undefined },
      overlay: { mtu: mtu(node.external), peers: [] },
      probing: { addresses: [], answers: 'node' },
      devices: Object.fromEntries(ownSubnets(config, node).map(({ family }) => [family, node.external.name])),
      refused: [],
    }),
  };
}
