/** How this node gets into its network: config, backend, interface, lease. */
import { backendNeeds } from '@flannel-ts/flannel/backend-needs';
import { formatLeaseSubnets, subnetsOf } from '@flannel-ts/flannel/lease';
import { type NetworkConfig, outerFamilies } from '@flannel-ts/flannel/network-config';
import { FAMILIES } from '@flannel-ts/inet/family';
import { formatIp } from '@flannel-ts/inet/ip';
import { formatPrefix, type Prefix } from '@flannel-ts/inet/prefix';
import { hasLinkKind } from '@flannel-ts/rtnetlink/link-add';
import type { Logger } from 'pino';
import type { Backend } from './backend/backend.ts';
import { checkOwnSubnets } from './backend/peers.ts';
import { createBackend } from './backend/registry.ts';
import { DaemonError, messageOf } from './errors.ts';
import type { NetworkParts, NetworkSettings } from './network-parts.ts';
import { readPreviousNetworks, readPreviousSubnets, writeSubnetFile } from './operate/subnet-file.ts';
import { firstConfig, type Membership } from './subnet/manager.ts';
import { reportWaiting } from './subnet/silence.ts';
import { readNode } from './underlay/facts.ts';
import { checkFamilies, kernelHasIpv6 } from './underlay/families.ts';
import { findInterface, type InterfaceSearch, type UnderlayParts } from './underlay/find.ts';
import { addressFile, formatLastAddresses, readLastAddresses } from './underlay/remember.ts';
import { addressesOf, type ExternalInterface, selectInterface } from './underlay/select.ts';
import type { ViewOf } from './view.ts';

export interface Joined extends ViewOf {
  readonly search: InterfaceSearch;
  readonly membership: Membership;
  /** Networks that this node was in before. */
  readonly previousNetworks: readonly Prefix[];
}

interface Waiting {
  readonly trouble: string;
  readonly remedy?: string;
}

/** Everything up to the lease. */
export async function join(settings: NetworkSettings, parts: NetworkParts, signal: AbortSignal): Promise<Joined> {
  const { manager, readiness, log } = parts;
  let reason: Waiting | undefined; // what the source itself says is better than that it is waited for
  const say = ({ trouble, remedy }: Waiting): void => readiness.report('lease', trouble, remedy);
  const tell = (next: Waiting | undefined): void => {
    reason = next;
    if (next !== undefined) say(next);
  };
  const report = (trouble?: string): void => tell(trouble === undefined ? undefined : { trouble });
  const waitFor = <T>(what: string, work: Promise<T>): Promise<T> =>
    reportWaiting(work, what, manager, (trouble) => say(reason ?? { trouble }));
  const config = await waitFor(
    'the network config',
    firstConfig(manager, signal, (trouble) => tell(trouble && { trouble: trouble.sentence, remedy: trouble.remedy })),
  );
  tell(undefined);
  const backend = backendFor(config, parts);
  const chosen = manager.ownAddresses && (await waitFor('the node', manager.ownAddresses(signal, report)));
  const previous = readPreviousSubnets(settings.subnetFile, log);
  const search = {
    options: { ...settings.interface, ...chosen },
    outer: outerFamilies(config),
    networks: networksOf(config),
    subnets: subnetsOf(previous ?? {}),
    previous: readLastAddresses(settings.subnetFile),
  };
  const external = await findInterface(search, underlayParts(search, parts), signal);
  rememberAddresses(settings, external, log);
  log.info(
    {
      interface: external.name,
      address: formatIp(external.address),
      ...(external.publicIp && { publicIp: formatIp(external.publicIp) }),
      ...(external.publicIpv6 && { publicIpv6: formatIp(external.publicIpv6) }),
      ...(config.pools[4] && { network: formatPrefix(config.pools[4].network) }),
      ...(config.pools[6] && { ipv6Network: formatPrefix(config.pools[6].network) }),
      backend: backend.type,
    },
    'Joining the network',
  );
  const attributes = backend.attributes(external);
  const required = await parts.required();
  const avoid = [...addressesOf(external), ...required.map(({ address }) => address)];
  const request = { config, attributes, avoid, report, ...(previous && { previous }) };
  const membership = await waitFor('a lease', manager.join(request, signal));
  const { lease } = membership;
  log.info({ subnet: formatLeaseSubnets(lease) }, 'Acquired a lease');
  checkOwnSubnets({ ...lease, external, required });
  const previousNetworks = readPreviousNetworks(settings.subnetFile);
  return {
    config,
    backend,
    search: { ...search, subnets: subnetsOf(lease) },
    external,
    membership,
    lease,
    required,
    previousNetworks,
  };
}

/** Throws when this node's kernel cannot do what the config asks for: before a lease is taken, or an older config left. */
export function backendFor(config: NetworkConfig, { identity, nl }: NetworkParts): Backend {
  checkFamilies(config, kernelHasIpv6());
  const backend = createBackend(config, identity);
  const { linkKind } = backendNeeds(config.backend, outerFamilies(config));
  if (linkKind !== undefined && !hasLinkKind(nl, linkKind)) {
    throw new DaemonError(
      'UNSUPPORTED_BACKEND',
      `This kernel has no devices of the kind ${linkKind}, which the ${backend.type} backend needs: ` +
        `load or install the kernel module ${linkKind}, or set Backend.Type in the network config to another one`,
    );
  }
  return backend;
}

/** Throws when this node has no interface with the addresses by which others would reach it with the config. */
export function findAddresses(search: InterfaceSearch, config: NetworkConfig): void {
  const context = { ...search, networks: networksOf(config) };
  selectInterface(search.options, outerFamilies(config), readNode(search.options.canReach), context);
}

/** What the overlay takes from the addresses there are. */
export function networksOf({ pools }: NetworkConfig): Prefix[] {
  return FAMILIES.flatMap((family) => pools[family]?.network ?? []);
}

export function rememberAddresses({ subnetFile }: NetworkSettings, external: ExternalInterface, log: Logger): void {
  try {
    writeSubnetFile(addressFile(subnetFile), formatLastAddresses(addressesOf(external)));
  } catch (error) {
    log.warn(`Cannot keep the address for the next start: ${messageOf(error)}`);
  }
}

export function underlayParts({ options }: InterfaceSearch, { readiness, log }: NetworkParts): UnderlayParts {
  return {
    read: () => readNode(options.canReach),
    report: (trouble) => readiness.report('underlay', trouble),
    log,
  };
}
