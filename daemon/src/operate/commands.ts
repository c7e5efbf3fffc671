/** The subcommands that do one thing and end: release and cleanup. */
import { rmSync } from 'node:fs';
import { formatLeaseSubnets } from '@flannel-ts/flannel/lease';
import { FAMILIES } from '@flannel-ts/inet/family';
import { formatIp, type Ip } from '@flannel-ts/inet/ip';
import { formatPrefix } from '@flannel-ts/inet/prefix';
import { withNetlink } from '@flannel-ts/rtnetlink/connection';
import type { Logger } from 'pino';
import { removeAllRules } from '../firewall/cleanup.ts';
import { removeLeftoverDevices, removeLeftoverRoutes } from '../state/leftovers.ts';
import { stateFileOf } from '../subnet/etcd/kept-state.ts';
import type { SubnetManager } from '../subnet/manager.ts';
import { readNode } from '../underlay/facts.ts';
import { addressFile, readLastAddresses } from '../underlay/remember.ts';
import { type InterfaceOptions, selectInterface } from '../underlay/select.ts';
import { releaseAddresses } from './endpoint/reserve.ts';
import { readPreviousNetworks, readPreviousSubnets } from './subnet-file.ts';

export interface CommandSettings {
  readonly interface: InterfaceOptions;
  readonly subnetFile: string;
  readonly hostLocalDir: string;
}

/** Gives back this node's lease, when it is taken out of service: else its subnet stays taken for 24 hours. */
export async function release(
  options: CommandSettings,
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
function ownAddresses({ interface: choice, subnetFile }: CommandSettings, log: Logger): Ip[] {
  const { publicIp, publicIpv6 } = choice;
  const given = [publicIp, publicIpv6].filter((address) => address !== undefined);
  if (given.length > 0) return given;
  const facts = readNode(choice.canReach);
  const previous = readPreviousSubnets(subnetFile, log);
  const context = {
    networks: readPreviousNetworks(subnetFile),
    subnets: [previous?.subnet, previous?.ipv6Subnet].filter((subnet) => subnet !== undefined),
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

/**
 * Removes from this node what flanneld, ours or real flannel, made on it for the network that the subnet file names; without the
 * file for every network. To be called when flanneld does not run: it would make it again.
 */
export async function cleanup({ subnetFile, hostLocalDir }: CommandSettings, log: Logger): Promise<void> {
  const networks = readPreviousNetworks(subnetFile);
  const owner = networks.length > 0 ? { networks } : undefined;
  const { subnet, ipv6Subnet } = readPreviousSubnets(subnetFile, log) ?? {};
  const ownSubnets = [...(subnet ? [subnet] : []), ...(ipv6Subnet ? [ipv6Subnet] : [])];
  withNetlink({}, (nl) => {
    for (const name of removeLeftoverDevices(nl, owner)) log.info(`Removed the device ${name}`);
    for (const route of removeLeftoverRoutes(nl, owner, ownSubnets)) log.info(`Removed the route ${route}`);
  });
  for (const name of await removeAllRules(owner?.networks.map(formatPrefix))) log.info(`Removed ${name}`);
  releaseAddresses(hostLocalDir);
  for (const file of [subnetFile, addressFile(subnetFile), stateFileOf(subnetFile)]) rmSync(file, { force: true });
  log.info(`Removed the subnet file ${subnetFile}`);
}
