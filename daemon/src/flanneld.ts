/** The daemon: the one place where its parts are put together. Each part is a task that ends with the signal. */

import { setMaxListeners } from 'node:events';
import { formatLeaseSubnets, type Lease } from '@flannel-ts/flannel/lease';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { formatSubnetEnv, subnetEnvOf } from '@flannel-ts/flannel/subnet-env';
import { formatIp } from '@flannel-ts/inet/ip';
import { formatIpv6Prefix } from '@flannel-ts/inet/ipv6-prefix';
import { formatIpv4Prefix } from '@flannel-ts/inet/prefix';
import { releaseOwnCode } from '@flannel-ts/linux/own-pages';
import { readSysctl, writeSysctl } from '@flannel-ts/linux/sysctl';
import { type Netlink, openNetlink } from '@flannel-ts/rtnetlink/connection';
import { openMonitor } from '@flannel-ts/rtnetlink/monitor';
import type { Logger } from 'pino';
import { type Backend, createBackend, type OwnNode } from './backend/backend.ts';
import type { EngineSettings } from './datapath/tun/engine/choose.ts';
import type { StartEngine } from './datapath/tun/engine/engine.ts';
import { EngineSwitch } from './datapath/tun/engine-switch.ts';
import { type TunDevice, Tunnel } from './datapath/tun/tunnel.ts';
import { messageOf } from './errors.ts';
import { keepRules } from './firewall/keep.ts';
import { overlayOf } from './firewall/rules.ts';
import { type HealthServer, startHealth } from './operate/health.ts';
import { daemonFacts, renderMetrics, type ServingFacts } from './operate/metrics.ts';
import { notifySystemd } from './operate/notify.ts';
import { Readiness } from './operate/readiness.ts';
import { keepSubnetFile, readPreviousSubnets } from './operate/subnet-file.ts';
import type { Options } from './options.ts';
import type { DesiredState } from './state/desired.ts';
import { Kernel } from './state/kernel.ts';
import { Reconciler } from './state/reconcile.ts';
import type { SubnetManager } from './subnet/manager.ts';
import { applyLeaseEvent, EMPTY_LEASE_TABLE, type LeaseTable } from './subnet/table.ts';
import { runTogether } from './tasks.ts';
import { findInterface } from './underlay/facts.ts';
import type { ExternalInterface } from './underlay/select.ts';
import { watchUnderlay } from './underlay/watch.ts';

/** After the first ready: the start is over. */
const SETTLED_MS = 1000;

export interface DaemonParts {
  readonly manager: SubnetManager;
  readonly engineOf: (settings: EngineSettings) => StartEngine;
  readonly openDevice: (name: string, multiQueue: boolean) => TunDevice;
  readonly log: Logger;
}

/** Resolves when the signal aborted and everything is at rest; rejects with what makes it impossible to go on. */
export async function runDaemon(options: Options, parts: DaemonParts, signal: AbortSignal): Promise<void> {
  setMaxListeners(0, signal); // a listener for every part that waits
  const readiness = new Readiness(
    ['lease', 'peers', 'underlay', 'kernel', 'engine', 'subnet file', 'firewall'],
    parts.log,
  );
  let health: HealthServer | undefined;
  const servingFacts: ServingFactsHolder = { current: undefined };
  const nl = openNetlink();
  try {
    const metrics = (): string => renderMetrics(daemonFacts(readiness, servingFacts.current?.()));
    if (options.healthzPort !== 0) {
      health = await startHealth(options.healthzIp, options.healthzPort, readiness, metrics);
    }
    readiness.whenReady(() => {
      tellSystemd('READY=1', parts.log);
      setTimeout(letGoOfStart, SETTLED_MS).unref();
    });
    const joined = await joinNetwork(options, parts, nl, signal);
    readiness.report('lease', undefined);
    await serve(options, parts, { ...joined, nl, readiness, servingFacts }, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    tellSystemd('STOPPING=1', parts.log);
    health?.close();
    nl.close();
  }
}

interface Joined {
  readonly config: NetworkConfig;
  readonly backend: Backend;
  readonly external: ExternalInterface;
  readonly lease: Lease;
}

/** Everything up to the lease. */
async function joinNetwork(options: Options, parts: DaemonParts, nl: Netlink, signal: AbortSignal): Promise<Joined> {
  const { manager, log } = parts;
  const config = await manager.getNetworkConfig(signal);
  const backend = createBackend(config);
  const external = await findInterface(nl, options.interface, backend.mode, signal);
  log.info(
    {
      interface: external.name,
      address: formatIp(external.address),
      ...(external.publicIp && { publicIp: formatIp(external.publicIp) }),
      ...(external.publicIpv6 && { publicIpv6: formatIp(external.publicIpv6) }),
      ...(config.enableIpv4 && { network: formatIpv4Prefix(config.network) }),
      ...(config.ipv6 && { ipv6Network: formatIpv6Prefix(config.ipv6.network) }),
      backend: config.backend.type,
    },
    'Joining the network',
  );
  const previous = readPreviousSubnets(options.subnetFile, log);
  const attributes = backend.attributes(external);
  const lease = await manager.acquireLease({ config, attributes, ...(previous && { previous }) }, signal);
  log.info({ subnet: formatLeaseSubnets(lease) }, 'Acquired a lease');
  return { config, backend, external, lease };
}

interface Serving extends Joined {
  readonly nl: Netlink;
  readonly readiness: Readiness;
  readonly servingFacts: ServingFactsHolder;
}

/** Where metrics find what is made only after the lease. */
interface ServingFactsHolder {
  current: (() => ServingFacts) | undefined;
}

async function serve(options: Options, parts: DaemonParts, serving: Serving, signal: AbortSignal): Promise<void> {
  const { manager, log } = parts;
  const { config, backend, external, lease, nl, readiness } = serving;
  if (lease.subnet) enableForwarding('net/ipv4/ip_forward', log);
  if (lease.ipv6Subnet) enableIpv6Forwarding(external.name, log);
  const node = { ...lease, external };
  const engines = new EngineSwitch(options.engine, config, log);
  const tunnel = openTunnel(options, parts, engines, backend.desiredState({ ...node, device: '' }, []), readiness);
  const leases = { table: EMPTY_LEASE_TABLE as LeaseTable };
  const desired = () =>
    backend.desiredState({ ...node, device: tunnel.deviceName } satisfies OwnNode, leases.table.values());
  const monitor = openMonitor({ groups: ['link', 'address', 'route'] });
  const reconciler = new Reconciler({
    kernel: new Kernel(nl),
    pollEvents: () => monitor.drain().length > 0,
    makeLinks: () => tunnel.remakeDevice(),
    desired,
    onPass: (failure) => readiness.report('kernel', failure),
    log,
  });
  serving.servingFacts.current = () => ({
    engine: engines.current.engine,
    tunnel: tunnel.statistics,
    reconcile: reconciler.statistics,
    lease,
    leaseEnd: manager.leaseEnd(lease),
    leases: leases.table.size,
  });
  const subnetEnv = formatSubnetEnv(subnetEnvOf(config, lease, backend.mtu(external), options.ipMasq));
  try {
    await runTogether(
      [
        (stop) => reconciler.run(stop),
        (stop) => followLeases(manager, leases, () => tunnel.setPeers(desired().tunnel?.peers ?? []), readiness, stop),
        (stop) => manager.holdLease(lease, stop),
        (stop) => followConfig(parts, engines, tunnel, stop),
        async (stop) => {
          // Who reads the file starts pods: not before their packets have somewhere to go.
          await readiness.untilWell(['kernel', 'engine', 'firewall'], stop);
          const report = (trouble?: string) => readiness.report('subnet file', trouble);
          await keepSubnetFile(options.subnetFile, subnetEnv, report, log, stop);
        },
        (stop) => keepFirewall(options, serving, log, stop),
        (stop) => watchUnderlay(nl, external, (trouble) => readiness.report('underlay', trouble), stop),
        (stop) => untilBroken(tunnel, stop),
      ],
      signal,
    );
  } finally {
    monitor.close();
    await tunnel.close();
  }
}

function openTunnel(
  options: Options,
  { engineOf, openDevice, log }: DaemonParts,
  { current }: EngineSwitch,
  { tunnel }: DesiredState,
  readiness: Readiness,
): Tunnel {
  if (tunnel === undefined) throw new Error('The backend has no tunnel'); // none of ours
  // A packet from outside the overlay has a foreign source, unless this or another node masquerades it.
  const settings = { ...tunnel, filterPeers: options.ipMasq };
  return new Tunnel(settings, {
    startEngine: engineOf(current),
    openDevice: (name) => openDevice(name, current.queues > 1),
    log,
    report: (why) => readiness.report('engine', why),
  });
}

async function followConfig(
  { manager, engineOf, log }: DaemonParts,
  engines: EngineSwitch,
  tunnel: Tunnel,
  signal: AbortSignal,
): Promise<void> {
  for await (const config of manager.watchNetworkConfig(signal)) {
    const settings = engines.take(config);
    if (settings === undefined) continue;
    log.info(settings, 'The network config asks for another engine: changing it');
    await tunnel.replaceEngine(engineOf(settings));
  }
}

async function followLeases(
  manager: SubnetManager,
  leases: { table: LeaseTable },
  onChange: () => void,
  readiness: Readiness,
  signal: AbortSignal,
): Promise<void> {
  for await (const event of manager.watchLeases(signal)) {
    leases.table = applyLeaseEvent(leases.table, event);
    onChange();
    readiness.report('peers', undefined);
  }
}

function keepFirewall(
  options: Options,
  { config, lease, readiness }: Serving,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  return keepRules(
    {
      overlay: overlayOf(config, lease),
      wanted: { masquerade: options.ipMasq, forward: options.forwardRules, fullyRandom: options.ipMasqFullyRandom },
      everyMs: options.rulesResyncSeconds * 1000,
      report: (why) => readiness.report('firewall', why),
      log,
    },
    signal,
  );
}

function untilBroken(tunnel: Tunnel, signal: AbortSignal): Promise<void> {
  return Promise.race([
    tunnel.broken,
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

/** A node that forwards takes no router's advertisements any more, unless told so: it would lose its default route. */
function enableIpv6Forwarding(link: string, log: Logger): void {
  try {
    if (readSysctl(`net/ipv6/conf/${link}/accept_ra`) === '1') writeSysctl(`net/ipv6/conf/${link}/accept_ra`, 2);
  } catch (error) {
    log.warn(`Cannot keep router advertisements for ${link}: ${messageOf(error)}`);
  }
  enableForwarding('net/ipv6/conf/all/forwarding', log);
}

/** What only the start needed is no part of the memory of a daemon that runs for months. */
function letGoOfStart(): void {
  (globalThis as { Bun?: { gc(full: boolean): void } }).Bun?.gc(true);
  releaseOwnCode();
}

function tellSystemd(state: string, log: Logger): void {
  try {
    notifySystemd(state);
  } catch (error) {
    log.warn(`Cannot notify systemd: ${messageOf(error)}`);
  }
}
