/** One joined network, from its config to packets that flow: each part is a task that ends with the signal. */
import { rmSync } from 'node:fs';
import { backendNeeds } from '@flannel-ts/flannel/backend-needs';
import { DEFAULT_BRIDGE } from '@flannel-ts/flannel/defaults';
import { type NetworkConfig, outerFamilies } from '@flannel-ts/flannel/network-config';
import { formatSubnetEnv, subnetEnvOf } from '@flannel-ts/flannel/subnet-env';
import { formatPrefix } from '@flannel-ts/inet/prefix';
import { openMonitor } from '@flannel-ts/rtnetlink/monitor';
import { childSignal, sleep } from './abort.ts';
import type { Probing } from './backend/backend.ts';
import type { DataPath } from './datapath/datapath.ts';
import { DaemonError } from './errors.ts';
import { keepFirewall } from './firewall/keep.ts';
import { overlayOf } from './firewall/rules.ts';
import { ConfigNotes, followConfig } from './follow-config.ts';
import { followUnderlay } from './follow-underlay.ts';
import { findAddresses, type Joined, join, networksOf, rememberAddresses, underlayParts } from './join.ts';
import type { NetworkParts, NetworkSettings } from './network-parts.ts';
import { BRIDGE, keepBridge } from './operate/bridge.ts';
import { watchDrops } from './operate/drops.ts';
import { POD_PATH, PodPath } from './operate/endpoint/pod-path.ts';
import { watchForwarding } from './operate/forwarding.ts';
import { OTHER_ROUTES } from './operate/other-routes.ts';
import { keepPreconditions } from './operate/preconditions.ts';
import { probeFromHost } from './operate/reach/host.ts';
import type { Prober } from './operate/reach/prober.ts';
import type { Readiness } from './operate/readiness.ts';
import { describeRefused } from './operate/status.ts';
import { keepSubnetFile, removeStaleSubnetFile } from './operate/subnet-file.ts';
import { ForeignRoutes, watchOtherRoutes } from './operate/watch-other-routes.ts';
import { blackholeRoute } from './state/blackhole.ts';
import type { DesiredRoute, DesiredState } from './state/desired.ts';
import { startKernelEvents } from './state/events.ts';
import { Kernel } from './state/kernel.ts';
import { Reconciler } from './state/reconcile.ts';
import { withGrace } from './subnet/departures.ts';
import type { Membership } from './subnet/manager.ts';
import { watchSilence } from './subnet/silence.ts';
import { persistent, runTogether, type Task } from './tasks.ts';
import { addressesOf, type ExternalInterface } from './underlay/select.ts';
import { View } from './view.ts';

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
  BRIDGE,
  OTHER_ROUTES,
  'reach',
  POD_PATH,
] as const;

/** Nothing of a part is known to be wrong then, so that what mends a part would mislead. */
export function reportJoinAnew(readiness: Pick<Readiness, 'report'>): void {
  for (const part of NETWORK_PARTS) readiness.report(part, 'joining the network anew', 'flanneld status -wait');
}

/** With these well, packets of this node's pods are taken: the start is over, whoever answers. */
export const STARTED_PARTS = ['lease', 'kernel', 'engine', 'firewall', 'subnet file'] as const;

/** Without them packets of this node's pods are lost. The lease is not among them: the node's neighbours keep what they know of it. */
const SERVING_PARTS = ['kernel', 'engine', 'firewall', 'subnet file'] as const;
const TELL_EVERY_MS = 1000;
const LASTING_TROUBLE_MS = 10_000;
const FOLLOW_AGAIN_MS = 2000;

/** Resolves when the signal aborted and everything is at rest; rejects with what makes it impossible to go on. */
export async function runNetwork(settings: NetworkSettings, parts: NetworkParts, signal: AbortSignal): Promise<void> {
  const { duty } = parts;
  try {
    while (!signal.aborted) {
      const turn = duty.signal;
      let joined: Joined;
      try {
        joined = await join(settings, parts, turn);
      } catch (error) {
        if (signal.aborted || !turn.aborted) throw error;
        await duty.rest(turn);
        continue;
      }
      parts.readiness.report('lease', undefined);
      await serve(settings, parts, joined, signal);
      if (!signal.aborted) reportJoinAnew(parts.readiness);
    }
  } catch (error) {
    // Whatever pods would still be started in it, the subnet is another node's.
    if (error instanceof DaemonError && error.code === 'LEASE_TAKEN') rmSync(settings.subnetFile, { force: true });
    throw error;
  }
}

/** Resolves with the signal, or when the network config asks for a new start from join() on. */
async function serve(
  settings: NetworkSettings,
  parts: NetworkParts,
  joined: Joined,
  signal: AbortSignal,
): Promise<void> {
  const { manager, duty, nl, readiness, log } = parts;
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
  const groups = ['link', 'address', 'route', 'neighbour', 'rule'] as const;
  const events = startKernelEvents(() => openMonitor({ groups, exceptOf: nl.portId }), log);
  // Subscribed before the reconciler is, whose next pass looks.
  events.subscribe(() => view.kernelChanged());
  const foreign = new ForeignRoutes();
  const ownRoutes = settings.blackholeRoute ? joined.search.subnets.map(blackholeRoute) : [];
  const reconciler = new Reconciler({
    kernel,
    owner,
    ownSubnets: joined.search.subnets,
    beforePass: () => view.look(),
    onKernelEvent: (listener) => events.subscribe(listener, kernel),
    makeLinks: async () => dataPath?.remake(),
    clearDataPaths: () => parts.clearDataPaths(owner.networks),
    desired: () => withRoutes(view.desired().state, ownRoutes),
    onForeign: (routes) => foreign.set(routes),
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
  let followed = config;
  parts.onServing(() => ({
    config: followed,
    external: view.external,
    devices: view.devices,
    ...(dataPath && { dataPath: dataPath.statistics() }),
    reconcile: reconciler.statistics,
    lease,
    source: manager.statistics?.(),
    leaseEnd: membership.end?.(),
    leases: view.leases.size,
    refused: view.refused,
    reach: prober.report(),
    restorations: preconditions.restorations,
  }));
  const steady = (what: string, task: Task) =>
    persistent({ what, note: (text) => readiness.note(what, text), log }, task);
  const tasks = (rejoin: () => void): readonly Task[] => [
    steady('Keeping devices and routes', (stop) => reconciler.run(stop)),
    steady('Following the leases', async (stop) => {
      for await (const batch of withGrace((end) => manager.peers(end), view.leases, stop)) {
        if (!view.apply(batch)) continue;
        reconciler.leasesChanged();
        readiness.report('peers', undefined);
        readiness.note('peers', describeRefused(view.refused));
      }
    }),
    (stop) => membership.hold(stop, (trouble, remedy) => readiness.report('lease', trouble, remedy)),
    steady('Telling the source whether this node serves', (stop) => tellServing(membership, readiness, stop)),
    steady('Watching for the silence of the source of leases', (stop) =>
      watchSilence(manager, (trouble) => readiness.report('source', trouble), stop),
    ),
    steady('Following the network config', async (stop) => {
      const notes = new ConfigNotes(readiness);
      const follow = (next: NetworkConfig) =>
        followConfig(config, next, parts, notes, (wanted) => findAddresses(joined.search, wanted));
      let again: NodeJS.Timeout | undefined;
      try {
        for await (const next of manager.config(stop, (trouble) => notes.setTrouble(trouble))) {
          clearInterval(again);
          const change = follow(next);
          if (change === 'join') return rejoin();
          await dataPath?.setConfig(next);
          if (change === 'followed') followed = next;
          // What is missing may come: an address, a kernel module.
          if (change === 'waits') again = setInterval(() => follow(next) === 'join' && rejoin(), FOLLOW_AGAIN_MS);
        }
      } finally {
        clearInterval(again);
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
    steady('Keeping the bridge of pods up', (stop) =>
      keepBridge(
        { name: DEFAULT_BRIDGE, subnets: joined.search.subnets },
        { nl, log, onKernelEvent: events.subscribe, report: (trouble) => readiness.report(BRIDGE, trouble) },
        stop,
      ),
    ),
    steady('Looking for routes of others', (stop) =>
      watchOtherRoutes(
        {
          nl,
          readiness,
          wanted: () => ({
            peers: view.desired().overlay.peers,
            routes: view.desired().state.routes,
            subnets: joined.search.subnets,
            addresses: view.addresses,
          }),
          foreign,
          onKernelEvent: (listener) => events.subscribe(listener),
        },
        stop,
      ),
    ),
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
        view.external,
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
  ];
  duty.carrier = dataPath;
  try {
    for (;;) {
      const turn = duty.signal;
      const serving = childSignal(turn);
      await runTogether(tasks(serving.abort), serving.signal).finally(serving.dispose);
      if (signal.aborted || !turn.aborted) return;
      await duty.rest(turn);
      if (signal.aborted) return;
    }
  } finally {
    duty.carrier = undefined;
    events.close();
    kernel.close();
    // Another backend has no use for it, and a failure may be its own: then everything is made anew.
    await (signal.aborted ? dataPath?.handOver() : dataPath?.stop());
  }
}

function withRoutes(state: DesiredState, routes: readonly DesiredRoute[]): DesiredState {
  return { ...state, routes: [...state.routes, ...routes] };
}

/** Kubernetes keeps pods away from a node that does not serve; a part that is not well for a moment is no reason. */
async function tellServing(membership: Membership, readiness: Readiness, signal: AbortSignal): Promise<void> {
  if (membership.serving === undefined) return;
  for (; !signal.aborted; await sleep(TELL_EVERY_MS, signal)) {
    const troubles = readiness.present.filter(({ part }) => SERVING_PARTS.some((serving) => serving === part));
    const lasting = troubles.filter(({ sinceMs }) => sinceMs >= LASTING_TROUBLE_MS);
    if (troubles.length === 0) membership.serving(true);
    else if (lasting.length > 0) {
      membership.serving(false, lasting.map(({ part, trouble }) => `${part}: ${trouble}`).join('; '));
    }
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
  { backend, external, search }: Joined,
  { answers }: Probing,
  host: Prober,
): PodPath | undefined {
  if (healthEndpointDir === undefined) return undefined;
  const settings = { subnets: search.subnets, bridge: DEFAULT_BRIDGE, mtu: backend.mtu(external), answers };
  return new PodPath(settings, healthEndpointDir, { nl, host, readiness, log });
}

function untilFailed({ failed }: DataPath, signal: AbortSignal): Promise<void> {
  return Promise.race([
    failed,
    new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true })),
  ]);
}
