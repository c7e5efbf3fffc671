/** The daemon: wires networks to what they share on this node (netlink, health server, systemd). */
import { setMaxListeners } from 'node:events';
import { deviceCounters } from '@flannel-ts/linux/device-counters';
import { openNetlink } from '@flannel-ts/rtnetlink/connection';
import { getLink } from '@flannel-ts/rtnetlink/link';
import type { Logger } from 'pino';
import { tunDataPath } from './datapath/tun/start.ts';
import { messageOf } from './errors.ts';
import { openIdentity } from './identity.ts';
import { keepMemorySmall } from './memory.ts';
import { NETWORK_PARTS, runNetwork, STARTED_PARTS } from './network.ts';
import type { NetworkSettings } from './network-parts.ts';
import { openDescriptorStore } from './operate/descriptors.ts';
import { type HealthServer, startHealth } from './operate/health.ts';
import { daemonFacts, renderMetrics, type ServingFacts } from './operate/metrics.ts';
import { notifySystemd } from './operate/notify.ts';
import { Readiness } from './operate/readiness.ts';
import { type StatusSocket, serveSocket, socketOf } from './operate/socket.ts';
import { type DeviceStatus, type Status, statusOf } from './operate/status.ts';
import type { Options } from './options.ts';
import type { SubnetManager } from './subnet/manager.ts';
import { resolveHosts } from './underlay/resolve.ts';
import { VERSION } from './version.ts';

/** Resolves when the signal aborted and everything is at rest; rejects with what makes it impossible to go on. */
export async function runDaemon(
  options: Options,
  manager: SubnetManager,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  setMaxListeners(0, signal); // a listener for every part that waits
  const readiness = new Readiness(NETWORK_PARTS, log);
  let health: HealthServer | undefined;
  let socket: StatusSocket | undefined;
  let servingFacts: (() => ServingFacts) | undefined;
  const descriptors = openDescriptorStore(log);
  const nl = openNetlink();
  try {
    const metrics = (): string => renderMetrics(daemonFacts(readiness, servingFacts?.(), options.metricsPerPeer));
    const status = (): Status => {
      const serving = servingFacts?.();
      return statusOf({
        version: VERSION,
        pid: process.pid,
        upSeconds: process.uptime(),
        readiness,
        source: manager.statistics?.(),
        serving,
        devices: (serving?.devices ?? []).flatMap((name) => deviceStatus(name) ?? []),
      });
    };
    const sources = { readiness, metrics, status };
    if (options.healthzPort !== 0) health = await startHealth(options.healthzIp, options.healthzPort, sources);
    socket = await serveSocket(socketOf(options.subnetFile), sources, log);
    signal.addEventListener('abort', () => readiness.stop(), { once: true });
    void readiness.untilWell(STARTED_PARTS, signal).then(() => {
      if (signal.aborted) return;
      // systemd ends a service that is not ready in time; one that only its peers do not answer has to stay.
      reportToSystemd('READY=1', log);
      descriptors.closeRest();
      keepMemorySmall(signal).catch((error: unknown) => {
        log.warn(`Memory that is no longer needed stays in use from now on: ${messageOf(error)}`);
      });
    });
    const onServing = (facts: () => ServingFacts): void => {
      servingFacts = facts;
    };
    const startDataPath = tunDataPath({ engine: options.engine, filterPeers: options.antiSpoofing }, descriptors, log);
    const required = async () => {
      const what = manager.statistics?.().name ?? 'the source of leases';
      return (await resolveHosts(manager.endpoints)).map((address) => ({ address, what }));
    };
    const identity = openIdentity(options.identityFile, (device) => getLink(nl, device)?.mac, log);
    const parts = { manager, startDataPath, identity, nl, required, readiness, onServing, log };
    await runNetwork(networkSettings(options), parts, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    reportToSystemd('STOPPING=1', log);
    health?.close();
    socket?.close();
    nl.close();
  }
}

/** What the host sends into a device of the overlay goes to other nodes. */
function deviceStatus(name: string): DeviceStatus | undefined {
  const counters = deviceCounters(name);
  if (counters === undefined) return undefined;
  const { sendDropped, ...traffic } = counters;
  return { name, ...traffic, dropped: sendDropped };
}

function networkSettings(options: Options): NetworkSettings {
  const { subnetFile, ipMasq, forwardRules, ipMasqFullyRandom, rulesResyncSeconds, blackholeRoute } = options;
  return {
    interface: options.interface,
    subnetFile,
    rules: { masquerade: ipMasq, forward: forwardRules, fullyRandom: ipMasqFullyRandom },
    rulesResyncSeconds,
    blackholeRoute,
    healthEndpointDir: options.healthEndpoint ? options.hostLocalDir : undefined,
  };
}

function reportToSystemd(state: string, log: Logger): void {
  try {
    notifySystemd(state);
  } catch (error) {
    log.warn(`Cannot notify systemd: ${messageOf(error)}`);
  }
}
