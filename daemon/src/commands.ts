/** The subcommands that do one thing and end: release and cleanup. */
import { rmSync } from 'node:fs';
import { RTPROT_FLANNEL } from '@flannel-ts/flannel/defaults';
import { formatIpv4 } from '@flannel-ts/inet/ipv4';
import { formatIpv4Prefix } from '@flannel-ts/inet/prefix';
import { withNetlink } from '@flannel-ts/rtnetlink/connection';
import { ensureLinkAbsent, listLinks } from '@flannel-ts/rtnetlink/link';
import { ensureRouteAbsent, formatDestination, listRoutes } from '@flannel-ts/rtnetlink/route';
import type { Logger } from 'pino';
import { removeRules } from './backend/masquerade.ts';
import { readNodeFacts } from './node/facts.ts';
import { selectInterface } from './node/interface.ts';
import type { Options } from './options.ts';
import type { SubnetManager } from './subnet/manager.ts';

/** Gives back this node's lease, when it is taken out of service: else its subnet stays taken for 24 hours. */
export async function release(
  options: Options,
  manager: SubnetManager,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const publicIp =
    options.interface.publicIp ??
    withNetlink({}, (nl) => selectInterface(options.interface, readNodeFacts(nl, options.interface.canReach))).publicIp;
  const released = await manager.releaseLeases(publicIp, signal);
  for (const subnet of released) log.info(`Released the lease of ${formatIpv4Prefix(subnet)}`);
  if (released.length === 0) log.info(`There is no lease of ${formatIpv4(publicIp)}`);
}

/** Removes from this node what flanneld made on it. To be called when flanneld does not run: it would make it again. */
export async function cleanup(options: Options, log: Logger): Promise<void> {
  withNetlink({}, (nl) => {
    const ipv6 = listRoutes<6>(nl, { protocol: RTPROT_FLANNEL, family: 6 });
    for (const route of [...listRoutes(nl, { protocol: RTPROT_FLANNEL }), ...ipv6]) {
      if (ensureRouteAbsent(nl, route)) log.info(`Removed the route to ${formatDestination(route)}`);
    }
    for (const { name, index } of listLinks(nl, { kind: 'tun' })) {
      if (/^flannel\d+$/.test(name) && ensureLinkAbsent(nl, index)) log.info(`Removed the device ${name}`);
    }
  });
  await removeRules();
  rmSync(options.subnetFile, { force: true });
  log.info('Removed the firewall rules and the subnet file');
}
