/** `flanneld release`. */
import { formatLeaseSubnets, subnetsOf } from '@flannel-ts/flannel/lease';
import { FAMILIES } from '@flannel-ts/inet/family';
import { formatIp, type Ip } from '@flannel-ts/inet/ip';
import type { Logger } from 'pino';
import type { SubnetManager } from '../subnet/manager.ts';
import { readNode } from '../underlay/facts.ts';
import { readLastAddresses } from '../underlay/remember.ts';
import { type InterfaceOptions, selectInterface } from '../underlay/select.ts';
import { readPreviousNetworks, readPreviousSubnets } from './subnet-file.ts';

export interface ReleaseSettings {
  readonly interface: InterfaceOptions;
  readonly subnetFile: string;
}

/** Gives back this node's lease, when it is taken out of service: else its subnet stays taken for 24 hours. */
export async function release(
  options: ReleaseSettings,
  manager: SubnetManager,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const addresses = ownAddresses(options, log);
  let count = 0;
  for (const address of addresses) {
    for (const lease of await manager.releaseLeases(address, signal)) {
      count++;
      log.info(`Released the lease of ${formatLeaseSubnets(lease)}`);
    }
  }
  if (count === 0) log.info(`There is no lease of ${addresses.map(formatIp).join(' or ')}`);
}

/**
 * By which the lease may be found, as flanneld would publish them: which of the two it was, only the network config knows, and
 * that may have changed since.
 */
function ownAddresses({ interface: choice, subnetFile }: ReleaseSettings, log: Logger): Ip[] {
  const { publicIp, publicIpv6 } = choice;
  const given = [publicIp, publicIpv6].filter((address) => address !== undefined);
  if (given.length > 0) return given;
  const facts = readNode(choice.canReach);
  const previous = readPreviousSubnets(subnetFile, log);
  const context = {
    networks: readPreviousNetworks(subnetFile),
    subnets: subnetsOf(previous ?? {}),
    previous: readLastAddresses(subnetFile),
  };
  const failures: unknown[] = [];
  const found = FAMILIES.flatMap((family) => {
    try {
      return [selectInterface(choice, [family], facts, context).address];
    } catch (error) {
      failures.push(error);
      return [];
    }
  });
  if (found.length === 0) throw failures[0];
  return found;
}
