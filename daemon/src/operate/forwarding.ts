/** The kernel parameters that this node's packets need, with what has to be done before IPv6 forwarding is turned on. */
import { DEFAULT_BRIDGE } from '@flannel-ts/flannel/defaults';
import { readSysctl, writeSysctl } from '@flannel-ts/linux/sysctl';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import { getLink } from '@flannel-ts/rtnetlink/link';
import type { Logger } from 'pino';
import { forwardingPreconditions, PreconditionCheck } from './preconditions.ts';
import type { Readiness } from './readiness.ts';
import { keepRouterAdvertisements } from './router-advertisements.ts';

export interface ForwardingSettings {
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  /** Name of the interface to the other nodes. */
  readonly external: string;
  /** Names of the overlay's own devices, now. */
  readonly devices: () => readonly string[];
}

export interface ForwardingParts {
  readonly nl: Netlink;
  readonly readiness: Readiness;
  readonly log: Logger;
}

/** Pods send through this node; a host that does not forward drops their packets silently. */
export function watchForwarding(
  { ipv4, ipv6, external, devices }: ForwardingSettings,
  { nl, readiness, log }: ForwardingParts,
): PreconditionCheck {
  const before = () => keepRouterAdvertisements(nl, external, log);
  // Forwarding may be on already.
  if (ipv6) before();
  return new PreconditionCheck({
    wanted: () => {
      const linksOf = (names: readonly string[]) => names.flatMap((name) => getLink(nl, name) ?? []);
      const own = linksOf(devices());
      const links = [...own, ...linksOf([external, DEFAULT_BRIDGE])];
      return forwardingPreconditions({ ipv4, ipv6, links, own }).map((wanted) =>
        wanted.parameter.startsWith('net/ipv6/') ? { ...wanted, before } : wanted,
      );
    },
    read: readSysctl,
    write: writeSysctl,
    now: () => performance.now(),
    report: (trouble) => readiness.report('forwarding', trouble),
    note: (text) => readiness.note('forwarding', text),
    log,
  });
}
