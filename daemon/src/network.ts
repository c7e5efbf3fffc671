/** One joined network, from its config to packets that flow: each part is a task that ends with the signal. */
import { formatLeaseSubnets, type Lease } from '@flannel-ts/flannel/lease';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { formatSubnetEnv, subnetEnvOf } from '@flannel-ts/flannel/subnet-env';
import { formatIp } from '@flannel-ts/inet/ip';
import { formatPrefix } from '@flannel-ts/inet/prefix';
import { readSysctl, writeSysctl } from '@flannel-ts/linux/sysctl';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import { openMonitor } from '@flannel-ts/rtnetlink/monitor';
import type { Logger } from 'pino';
import type { Backend, Desired } from './backend/backend.ts';
import { createBackend } from './backend/registry.ts';
import type { DataPath, StartDataPath } from './datapath/datapath.ts';
import { diffPeers, type Peers, peersOf } from './datapath/peers.ts';
import { messageOf } from './errors.ts';
import { keepFirewall } from './firewall/keep.ts';
import { overlayOf, type WantedRules } from './firewall/rules.ts';
import type { ServingFacts } from './operate/metrics.ts';
import type { Readiness } from './operate/readiness.ts';
import { keepSubnetFile, readPreviousNetworks, readPreviousSubnets } from './operate/subnet-file.ts';
import { Kernel } from './state/kernel.ts';
import { Reconciler } from './state/reconcile.ts';
import { firstConfig, type LeaseBatch, type Membership, type SubnetManager } from './subnet/manager.ts';
import { createLeaseTable, type LeaseTable } from './subnet/table.ts';
import { runTogether } from './tasks.ts';
import { findInterface } from './underlay/facts.ts';
import type { ExternalInterface, InterfaceOptions } from './underlay/select.ts';
import { watchUnderlay } from './underlay/watch.ts';

/** What readiness knows of a network. */
export const NETWORK_PARTS = [
  'lease',
  'peers',
  'underlay',
  'kernel',
  'engine',
  'subnet file',
  'firewall',
  'forward rules',
] as const;

export interface NetworkSettings {
  readonly interface: InterfaceOptions;
  readonly subnetFile: string;
  readonly rules: WantedRules;
  readonly rulesResyncSeconds: number;
}

export interface NetworkParts {
  readonly manager: SubnetManager;
  readonly startDataPath: StartDataPath;
  readonly nl: Netlink;
  readonly readiness: Readiness;
  /** Told once, where metrics find their facts from then on. */
  readonly onServing: (facts: () => ServingFacts) => void;
  readonly log: Logger;
}

/** Resolves when the signal aborted and everything is at rest; rejects with what makes it impossible to go on. */
export async function runNetwork(settings: NetworkSettings, parts: NetworkParts, signal: AbortSignal): Promise<void> {
  const joined = await join(settings, parts, signal);
  parts.readiness.report('lease', undefined);
  await serve(settings, parts, joined, signal);
}

interface Joined {
  readonly config: NetworkConfig;
  readonly backend: Backend;
  readonly external: ExternalInterface;
  readonly membership: Membership;
  readonly lease: Lease;
}

/** Everything up to the lease. */
async function join(settings: NetworkSettings, parts: NetworkParts, signal: AbortSignal): Promise<Joined> {
  const { manager, nl, log } = parts;
  const config = await firstConfig(manager, signal);
  const backend = createBackend(config);
  const external = await findInterface(nl, settings.interface, backend.mode, signal);
  log.info(
    {
      interface: external.name,
      address: formatIp(external.address),
      ...(external.publicIp && { publicIp: formatIp(external.publicIp) }),
      ...(external.publicIpv6 && { publicIpv6: formatIp(external.publicIpv6) }),
      ...(config.enableIpv4 && { network: formatPrefix(config.network) }),
      ...(config.ipv6 && { ipv6Network: formatPrefix(config.ipv6.network) }),
      backend: backend.type,
    },
    'Joining the network',
  );
  const previous = readPreviousSubnets(settings.subnetFile, log);
  const attributes = backend.attributes(external);
  const membership = await manager.join({ config, attributes, ...(previous && { previous }) }, signal);
  const { lease } = membership;
  log.info({ subnet: formatLeaseSubnets(lease) }, 'Acquired a lease');
  return { config, backend, external, membership, lease };
}

async function serve(
  settings: NetworkSettings,
  parts: NetworkParts,
  joined: Joined,
  signal: AbortSignal,
): Promise<void> {
  const { manager, nl, readiness, log } = parts;
  const { config, backend, external, membership, lease } = joined;
  if (lease.subnet) enableForwarding('net/ipv4/ip_forward', log);
  if (lease.ipv6Subnet) enableIpv6Forwarding(external.name, log);
  const view = new View(joined, parts);
  const { dataPath } = view;
  const monitor = openMonitor({ groups: ['link', 'address', 'route'] });
  const reconciler = new Reconciler({
    kernel: new Kernel(nl),
    pollEvents: () => monitor.drain().length > 0,
    makeLinks: () => dataPath.remake(),
    desired: () => view.desired().state,
    onPass: (failure) => readiness.report('kernel', failure),
    log,
  });
  parts.onServing(() => ({
    dataPath: dataPath.statistics(),
    reconcile: reconciler.statistics,
    lease,
    leaseEnd: membership.end?.(),
    leases: view.leases.size,
  }));
  const subnetEnv = formatSubnetEnv(subnetEnvOf(config, lease, backend.mtu(external), settings.rules.masquerade));
  try {
    await runTogether(
      [
        (stop) => reconciler.run(stop),
        (stop) => followLeases(view, parts, stop),
        (stop) => membership.hold(stop, (trouble) => readiness.report('lease', trouble)),
        (stop) => followConfig(manager, dataPath, stop),
        async (stop) => {
          // Who reads the file starts pods: not before their packets have somewhere to go.
          await readiness.untilWell(['kernel', 'engine', 'firewall'], stop);
          const report = (trouble?: string) => readiness.report('subnet file', trouble);
          await keepSubnetFile(settings.subnetFile, subnetEnv, report, log, stop);
        },
        (stop) => keepRules(settings, parts, joined, dataPath, stop),
        (stop) => watchUnderlay(nl, external, (trouble) => readiness.report('underlay', trouble), stop),
        (stop) => untilFailed(dataPath, stop),
      ],
      signal,
    );
  } finally {
    monitor.close();
    await dataPath.stop();
  }
}

/** What follows from the leases as they are known at this moment. */
class View {
  readonly dataPath: DataPath;
  readonly leases: LeaseTable = createLeaseTable();
  private peers: Peers = new Map();

  constructor(
    private readonly joined: Joined,
    { startDataPath, readiness }: NetworkParts,
  ) {
    const { overlay } = this.desired();
    if (overlay === undefined) throw new Error(`The ${joined.backend.type} backend has no overlay`); // each has one today
    this.dataPath = startDataPath(overlay, joined.config, { report: (trouble) => readiness.report('engine', trouble) });
  }

  desired(): Desired {
    const { backend, external, lease } = this.joined;
    const device = this.dataPath?.device;
    return backend.desired({ ...lease, external, ...(device !== undefined && { device }) }, this.leases.values());
  }

  apply(batch: LeaseBatch): void {
    const { added, changed, removed } = this.leases.apply(batch);
    if (added.length + changed.length + removed.length === 0) return;
    const peers = peersOf(this.desired().overlay?.peers ?? []);
    const change = diffPeers(this.peers, peers);
    this.peers = peers;
    if (change !== undefined) this.dataPath.setPeers(change);
  }
}

async function followLeases(view: View, { manager, readiness }: NetworkParts, signal: AbortSignal): Promise<void> {
  for await (const batch of manager.peers(signal)) {
    view.apply(batch);
    readiness.report('peers', undefined);
  }
}

async function followConfig(manager: SubnetManager, dataPath: DataPath, signal: AbortSignal): Promise<void> {
  for await (const config of manager.config(signal)) await dataPath.setConfig(config);
}

function keepRules(
  { rules, rulesResyncSeconds, subnetFile }: NetworkSettings,
  { readiness, log }: NetworkParts,
  { config, lease }: Joined,
  dataPath: DataPath,
  signal: AbortSignal,
): Promise<void> {
  return keepFirewall(
    {
      overlay: overlayOf(config, lease),
      wanted: rules,
      nftablesOnly: config.enableNftables,
      previous: readPreviousNetworks(subnetFile),
      device: () => dataPath.device,
      everyMs: rulesResyncSeconds * 1000,
      report: (trouble) => readiness.report('firewall', trouble),
      reportForward: (trouble) => readiness.report('forward rules', trouble),
      log,
    },
    signal,
  );
}

function untilFailed({ failed }: DataPath, signal: AbortSignal): Promise<void> {
  return Promise.race([
    failed,
    new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true })),
  ]);
}

/** Pods send through this node; a host that does not forward drops their packets without a word. */
function enableForwarding(parameter: string, log: Logger): void {
  const name = parameter.replaceAll('/', '.');
  try {
    if (writeSysctl(parameter, 1)) log.info(`Enabled forwarding (${name}), which was off`);
  } catch (error) {
    log.warn(`Cannot enable forwarding, set ${name} to 1: ${messageOf(error)}`);
  }
}

/** A node that forwards ignores router advertisements unless told otherwise: it would lose its default route. */
function enableIpv6Forwarding(link: string, log: Logger): void {
  try {
    if (readSysctl(`net/ipv6/conf/${link}/accept_ra`) === '1') writeSysctl(`net/ipv6/conf/${link}/accept_ra`, 2);
  } catch (error) {
    log.warn(`Cannot keep router advertisements for ${link}: ${messageOf(error)}`);
  }
  enableForwarding('net/ipv6/conf/all/forwarding', log);
}
