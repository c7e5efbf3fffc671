import type { Prefix } from '@flannel-ts/inet/prefix';
import type { DesiredRoute } from './desired.ts';
import { guardMetric } from './guard.ts';

/**
 * -ip-blackhole-route: for hosts that have a route for each pod and none for their subnet (Canal), where packets to an address that
 * no pod has would go back into the overlay. A bridge's route to the subnet has a smaller metric and wins.
 */
export function blackholeRoute(subnet: Prefix): DesiredRoute {
  return { type: 'blackhole', dst: subnet, metric: guardMetric(subnet) };
}
