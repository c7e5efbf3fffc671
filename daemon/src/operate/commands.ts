/** The subcommands that do one thing and end: release and cleanup. */
import { rmSync } from 'node:fs';
import { RTPROT_FLANNEL } from '@flannel-ts/flannel/defaults';
import { formatLeaseSubnets } from '@flannel-ts/flannel/lease';
import { FAMILIES } from '@flannel-ts/inet/family';
import { formatIp, type Ip } from '@flannel-ts/inet/ip';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import { withNetlink } from '@flannel-ts/rtnetlink/connection';
import { ensureLinkAbsent, listLinks } from '@flannel-ts/rtnetlink/link';
import { ensureRouteAbsent, formatDestination, listRoutes } from '@flannel-ts/rtnetlink/route';
import type { Logger } from 'pino';
import { removeAllRules } from '../firewall/cleanup.ts';
import type { SubnetManager } from '../subnet/manager.ts';
import { readNode } from '../underlay/facts.ts';
import { addressFile, readLastAddress } from '../underlay/remember.ts';
import { type InterfaceOptions, selectInterface } from '../underlay/select.ts';
import { readPreviousNetworks, readPreviousSubnets } from './subnet-file.ts';

export interface CommandSettings {
  readonly interface: InterfaceOptions;
  readonly subnetFile: string;
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
    networks: readPreviousNetworks(subnetFile).map((text) => parsePrefix(text)),
    subnets: [previous?.subnet, previous?.ipv6Subnet].filter((subnet) => subnet !== undefined),
    previous: readLastAddress(subnetFile),
  };
  const failures: unknown[] = [];
  const found = FAMILIES.flatMap((family) => {
    try {
      return [selectInterface(choice, family, facts, context).address];
    } catch (error) {
      failures.push(error);
      return [];
    }
  });
  if (found.length === 0) throw failures[0];
  return found;
}

/** Removes from this node what flanneld made on it. To be called when flanneld does not run: it would make it again. */
export async function cleanup(options: CommandSettings, log: Logger): Promise<void> {
  withNetlink({}, (nl) => {
    for (const route of listRoutes(nl, { protocol: RTPROT_FLANNEL })) {
      if (ensureRouteAbsent(nl, route)) log.info(`Removed the route to ${formatDestination(route)}`);
    }
    for (const { name, index } of listLinks(nl, { kind: 'tun' })) {
      if (/^flannel\d+$/.test(name) && ensureLinkAbsent(nl, index)) log.info(`Removed the device ${name}`);
    }
  });
  const networks = readPreviousNetworks(options.subnetFile);
  // Without the file nobody knows which network it was: all that flannel made goes.
  for (const name of await removeAllRules(networks.length > 0 ? networks : undefined)) log.info(`Removed ${name}`);
  for (const file of [options.subnetFile, addressFile(options.subnetFile)]) rmSync(file, { force: true });
  log.info(`Removed the subnet file ${options.subnetFile}`);
}
