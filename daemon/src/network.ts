/** One joined network, from its config to packets that flow: each part is a task that ends with the signal. */
import { rmSync } from 'node:fs';
import { backendNeeds } from '@flannel-ts/flannel/backend-needs';
import { DEFAULT_BRIDGE } from '@flannel-ts/flannel/defaults';
import { formatLeaseSubnets } from '@flannel-ts/flannel/lease';
import { type NetworkConfig, outerFamilies } from '@flannel-ts/flannel/network-config';
import { formatSubnetEnv, subnetEnvOf } from '@flannel-ts/flannel/subnet-env';
import { FAMILIES } from '@flannel-ts/inet/family';
import { formatIp } from '@flannel-ts/inet/ip';
import { formatPrefix, type Prefix } from '@flannel-ts/inet/prefix';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import { hasLinkKind } from '@flannel-ts/rtnetlink/link-add';
import { openMonitor } from '@flannel-ts/rtnetlink/monitor';
import type { Logger } from 'pino';
import { childSignal } from './abort.ts';
import type { Backend, Identity, Probing, RequiredAddress } from './backend/backend.ts';
import { checkOwnSubnets } from './backend/peers.ts';
import { createBackend } from './backend/registry.ts';
import { configChange } from './config-change.ts';
import type { DataPath, StartDataPath } from './datapath/datapath.ts';
import { DaemonError, messageOf } from './errors.ts';
import { keepFirewall } from './firewall/keep.ts';
import { overlayOf, type WantedRules } from './firewall/rules.ts';
import { followUnderlay } from './follow-underlay.ts';
import { watchDrops } from './operate/drops.ts';
import { POD_PATH, PodPath } from './operate/endpoint/pod-path.ts';
import { watchForwarding } from './operate/forwarding.ts';
import type { ServingFacts } from './operate/metrics.ts';
import { keepPreconditions } from './operate/preconditions.ts';
import { probeFromHost } from './operate/reach/host.ts';
import type { Prober } from './operate/reach/prober.ts';
import type { Readiness } from './operate/readiness.ts';
import { describeRefused } from './operate/status.ts';
import {
  keepSubnetFile,
  readPreviousNetworks,
  readPreviousSubnets,
  removeStaleSubnetFile,
  writeSubnetFile,
} from './operate/subnet-file.ts';
import { blackholeRoute } from './state/blackhole.ts';
import type { DesiredRoute, DesiredState } from './state/desired.ts';
import { startKernelEvents } from './state/events.ts';
import { Kernel } from './state/kernel.ts';
import { Reconciler } from './state/reconcile.ts';
import { withGrace } from './subnet/departures.ts';
import { firstConfig, type Membership, type SubnetManager } from './subnet/manager.ts';
import { watchSilence } from './subnet/silence.ts';
import { persistent, runTogether, type Task } from './tasks.ts';
import { readNode } from './underlay/facts.ts';
import { checkFamilies, kernelHasIpv6 } from './underlay/families.ts';
import { findInterface, type InterfaceSearch, type UnderlayParts } from './underlay/find.ts';
import { addressFile, formatLastAddresses, readLastAddresses } from './underlay/remember.ts';
import { addressesOf, type ExternalInterface, type InterfaceOptions } from './underlay/select.ts';
import { View, type ViewOf } from './view.ts';

/** What readiness knows of a network. */
export const NETWORK_PARTS = [
  'lease',
  'peers',
  'source',
  'underlay',
  'kernel',
  'engine',
  'subnet file',
  'firewall',
  'forward rules',
  'input rules',
  'forwarding',
  'reach',
  POD_PATH,
] as const;

/** With these well, packets of this node's pods are taken: the start is over, whoever answers. */
export const STARTED_PARTS = ['lease', 'kernel', 'engine', 'firewall', 'subnet file'] as const;

export interface NetworkSettings {
  readonly interface: InterfaceOptions;
  readonly subnetFile: string;
  readonly rules: WantedRules;
  readonly rulesResyncSeconds: number;
  /** -ip-blackhole-route. */
  readonly blackholeRoute: boolean;
  /** host-local's directory, where an address is reserved for the health endpoint; undefined: there is none. */
  readonly healthEndpointDir: string | undefined;
}

export interface NetworkParts {
  readonly manager: SubnetManager;
  readonly startDataPath: StartDataPath;
  readonly identity: Identity;
  readonly nl: Netlink;
  /** What must stay reachable whatever the network's prefix is. */
  readonly required: () => Promise<readonly RequiredAddress[]>;
  readonly readiness: Readiness;
  /** Told once, where metrics find their facts from then on. */
  readonly onServing: (facts: () => ServingFacts) => void;
  readonly log: Logger;
}

/** Resolves when the signal aborted and everything is at rest; rejects with what makes it impossible to go on. */
export async function runNetwork(settings: NetworkSettings, parts: NetworkParts, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const joined = await join(settings, parts, signal);
    parts.readiness.report('lease', undefined);
    const joinedOnce = childSignal(signal);
    try {
      await serve(settings, parts, joined, joinedOnce.signal, joinedOnce.abort);
    } finally {
      joinedOnce.dispose();
    }
    if (!signal.aborted) for (const part of NETWORK_PARTS) parts.readiness.report(part, 'joining the network anew');
  }
}

interface Joined extends ViewOf {
  readonly search: InterfaceSearch;
  readonly membership: Membership;
  /** Networks that this node was in before. */
  readonly previousNetworks: readonly Prefix[];
}

/** Everything up to the lease. */
async function join(settings: NetworkSettings, parts: NetworkParts, signal: AbortSignal): Promise<Joined> {
  const { manager, log } = parts;
  const config = await firstConfig(manager, signal);
  const backend = backendFor(config, parts);
  const previous = readPreviousSubnets(settings.subnetFile, log);
  const search = {
    options: settings.interface,
    outer: outerFamilies(config),
    networks: networksOf(config),
    subnets: [previous?.subnet, previous?.ipv6Subnet].filter((subnet) => subnet !== undefined),
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
  const membership = await manager.join({ config, attributes, avoid, ...(previous && { previous }) }, signal);
  const { lease } = membership;
  log.info({ subnet: formatLeaseSubnets(lease) }, 'Acquired a lease');
  const subnets = [lease.subnet, lease.ipv6Subnet].filter((subnet) => subnet !== undefined);
  checkOwnSubnets({ ...lease, external, required });
  const previousNetworks = readPreviousNetworks(settings.subnetFile);
  return { config, backend, search: { ...search, subnets }, external, membership, lease, required, previousNetworks };
}

/** Throws when this node's kernel cannot do what the config asks for: before a lease is taken, or an older config left. */
function backendFor(config: NetworkConfig, { identity, nl }: NetworkParts): Backend {
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

/** `leave` ends it, for a new start from join() on. */
async function serve(
  settings: NetworkSettings,
  parts: NetworkParts,
  joined: Joined,
  signal: AbortSignal,
  leave: () => void,
): Promise<void> {
  const { manager, nl, readiness, log } = parts;
  const { config, backend, external, membership, lease } = joined;
  const subnetEnv = (mtu: number) => subnetEnvOf(config, lease, mtu, settings.rules.masquerade);
  const owner = { networks: [...networksOf(config), ...joined.previousNetworks] };
  removeStaleSubnetFile(settings.subnetFile, subnetEnv(backend.mtu(external)), log);
  const view = new View(joined, {
    ...parts,
    reportDataPath: (trouble) => readiness.report('engine', trouble),
    onPeers: (change) => {
      prober.setPeers(change);
      podPath?.setPeers(change);
    },
  });
  const { dataPath } = view;
  const { carriers } = backendNeeds(config.backend, outerFamilies(config));
  const { overlay, probing } = view.desired();
  const prober = probeFromHost(
    overlay,
    () => view.desired().probing,
    carriers,
    readiness,
    (peer, limit) => dataPath?.setPathLimit(peer, limit),
  );
  const preconditions = watchForwarding(
    {
      ipv4: lease.subnet !== undefined,
      ipv6: lease.ipv6Subnet !== undefined,
      external: external.name,
      devices: () => view.devices,
    },
    { nl, readiness, log },
  );
  const podPath = createPodPath(settings, parts, joined, probing, prober);
  if (podPath === undefined) readiness.report(POD_PATH, undefined);
  const kernel = new Kernel(nl, owner);
  const groups = ['link', 'address', 'route', 'neighbour'] as const;
  const events = startKernelEvents(() => openMonitor({ groups, exceptOf: nl.portId }), log);
  // Subscribed before the reconciler is, whose next pass looks.
  events.subscribe(() => view.kernelChanged());
  const ownRoutes = settings.blackholeRoute ? joined.search.subnets.map(blackholeRoute) : [];
  const reconciler = new Reconciler({
    kernel,
    owner,
    ownSubnets: joined.search.subnets,
    beforePass: () => view.look(),
    onKernelEvent: (listener) => events.subscribe(listener, () => kernel.entryLinks),
    makeLinks: async () => dataPath?.remake(),
    desired: () => withRoutes(view.desired().state, ownRoutes),
    onPass: (failure) => readiness.report('kernel', failure),
    log,
  });
  const move = async (to: ExternalInterface): Promise<void> => {
    const before = addressesOf(view.external);
    await view.setExternal(to);
    if (addressesOf(to).join() !== before.join()) manager.reconnect?.();
    const { mtu } = view.desired().overlay;
    prober.setMtu(mtu);
    prober.reopen();
    podPath?.setMtu(mtu);
    reconciler.trigger();
    rememberAddresses(settings, to, log);
  };
  parts.onServing(() => ({
    backend: backend.type,
    external: view.external,
    devices: view.devices,
    ...(dataPath && { dataPath: dataPath.statistics() }),
    reconcile: reconciler.statistics,
    lease,
    source: manager.statistics?.(),
    leaseEnd: membership.end?.(),
    leases: view.size,
    refused: view.refused,
    reach: prober.report(),
    restorations: preconditions.restorations,
  }));
  try {
    const steady = (what: string, task: Task) =>
      persistent({ what, note: (text) => readiness.note(what, text), log }, task);
    await runTogether(
      [
        steady('Keeping devices and routes', (stop) => reconciler.run(stop)),
        steady('Following the leases', async (stop) => {
          for await (const batch of withGrace((end) => manager.peers(end), stop)) {
            if (!view.apply(batch)) continue;
            reconciler.trigger();
            readiness.report('peers', undefined);
            readiness.note('peers', describeRefused(view.refused));
          }
        }),
        (stop) => membership.hold(stop, (trouble) => readiness.report('lease', trouble)),
        steady('Watching for the silence of the source of leases', (stop) =>
          watchSilence(manager, (trouble) => readiness.report('source', trouble), stop),
        ),
        steady('Following the network config', async (stop) => {
          for await (const next of manager.config(stop)) {
            if (followConfig(config, next, parts)) return leave();
            await dataPath?.setConfig(next);
          }
        }),
        async (stop) => {
          // Who reads the file starts pods: not before their packets have somewhere to go.
          await readiness.untilWell(['peers', 'kernel', 'engine', 'firewall'], stop);
          const report = (trouble?: string) => readiness.report('subnet file', trouble);
          const text = () => formatSubnetEnv(subnetEnv(backend.mtu(view.external)));
          await keepSubnetFile(settings.subnetFile, text, report, log, stop);
        },
        steady('Keeping the firewall rules', (stop) => keepRules(settings, parts, joined, view, stop)),
        steady('Keeping forwarding on', (stop) => keepPreconditions(preconditions, stop)),
        steady('Probing the other nodes', (stop) => prober.run(stop)),
        ...(podPath === undefined ? [] : [steady('Asking from the health endpoint', (stop) => podPath.run(stop))]),
        (stop) =>
          followUnderlay(
            joined.search,
            {
              ...underlayParts(joined.search, parts),
              onKernelEvent: (listener) => events.subscribe(listener),
              backend,
              membership,
              move,
            },
            external,
            stop,
          ),
        ...(dataPath === undefined
          ? []
          : [
              steady('Watching the drops of the device', (stop: AbortSignal) =>
                watchDrops(dataPath, (text) => readiness.note('device', text), stop),
              ),
              (stop: AbortSignal) => untilFailed(dataPath, stop),
            ]),
      ],
      signal,
    );
  } catch (error) {
    // Whatever pods would still be started in it, the subnet is another node's.
    if (error instanceof DaemonError && error.code === 'LEASE_TAKEN') rmSync(settings.subnetFile, { force: true });
    throw error;
  } finally {
    events.close();
    kernel.close();
    // A failure may be its own: then the next process makes everything anew.
    await (signal.aborted ? dataPath?.handOver() : dataPath?.stop());
  }
}

/** True when it takes a new start; what keeps this node from following is noted, and it goes on as it is. */
function followConfig(config: NetworkConfig, next: NetworkConfig, parts: NetworkParts): boolean {
  const { readiness, log } = parts;
  const change = configChange(config, next);
  let waits: string | undefined;
  if (change.kind === 'restart') waits = `${change.reason}, which takes effect when flanneld is started again`;
  if (change.kind === 'join') {
    try {
      backendFor(next, parts);
      log.info(`The network config has changed (${change.what}): joining anew`);
    } catch (error) {
      waits = `this node cannot follow it: ${messageOf(error)}`;
    }
  }
  if (waits !== undefined) log.warn(`The network config has changed: ${waits}`);
  readiness.note('network config', waits && `the network config has changed: ${waits}`);
  return change.kind === 'join' && waits === undefined;
}

function underlayParts({ options }: InterfaceSearch, { readiness, log }: NetworkParts): UnderlayParts {
  return {
    read: () => readNode(options.canReach),
    report: (trouble) => readiness.report('underlay', trouble),
    log,
  };
}

function withRoutes(state: DesiredState, routes: readonly DesiredRoute[]): DesiredState {
  return { ...state, routes: [...state.routes, ...routes] };
}

/** What the overlay takes from the addresses there are. */
function networksOf({ pools }: NetworkConfig): Prefix[] {
  return FAMILIES.flatMap((family) => pools[family]?.network ?? []);
}

function rememberAddresses({ subnetFile }: NetworkSettings, external: ExternalInterface, log: Logger): void {
  try {
    writeSubnetFile(addressFile(subnetFile), formatLastAddresses(addressesOf(external)));
  } catch (error) {
    log.warn(`Cannot keep the address for the next start: ${messageOf(error)}`);
  }
}

function keepRules(
  { rules, rulesResyncSeconds }: NetworkSettings,
  { readiness, log }: NetworkParts,
  { config, lease, previousNetworks }: Joined,
  view: View,
  signal: AbortSignal,
): Promise<void> {
  return keepFirewall(
    {
      overlay: overlayOf(config, lease),
      wanted: rules,
      nftablesOnly: config.enableNftables,
      previous: previousNetworks.map(formatPrefix),
      device: (family) => view.desired().devices[family],
      input: () => ({
        carriers: backendNeeds(config.backend, outerFamilies(config)).carriers,
        interface: view.external.name,
        addresses: view.external.addresses,
      }),
      everyMs: rulesResyncSeconds * 1000,
      report: (trouble) => readiness.report('firewall', trouble),
      reportForward: (trouble) => readiness.report('forward rules', trouble),
      reportInput: (trouble, doubt) => {
        readiness.report('input rules', trouble);
        readiness.note('input rules', doubt);
      },
      log,
    },
    signal,
  );
}

function createPodPath(
  { healthEndpointDir }: NetworkSettings,
  { nl, readiness, log }: NetworkParts,
  { backend, external, lease }: Joined,
  { answers }: Probing,
  host: Prober,
): PodPath | undefined {
  if (healthEndpointDir === undefined) return undefined;
  const subnets = [lease.subnet, lease.ipv6Subnet].filter((subnet) => subnet !== undefined);
  const settings = { subnets, bridge: DEFAULT_BRIDGE, mtu: backend.mtu(external), answers };
  return new PodPath(settings, healthEndpointDir, { nl, host, readiness, log });
}

function untilFailed({ failed }: DataPath, signal: AbortSignal): Promise<void> {
  return Promise.race([
    failed,
    new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true })),
  ]);
}
