/** The daemon: wires networks to what they share on this node (netlink, health server, systemd). */
import { setMaxListeners } from 'node:events';
import type { Prefix } from '@flannel-ts/inet/prefix';
import { deviceCounters } from '@flannel-ts/linux/device-counters';
import { openNetlink } from '@flannel-ts/rtnetlink/connection';
import { getLink } from '@flannel-ts/rtnetlink/link';
import type { Logger } from 'pino';
import { sleep } from './abort.ts';
import { leftDevice, removeAbandoned } from './datapath/ebpf/left.ts';
import { withPrograms } from './datapath/ebpf/start.ts';
import { tunDataPath } from './datapath/tun/start.ts';
import { Duty } from './duty.ts';
import { messageOf } from './errors.ts';
import { openIdentity } from './identity.ts';
import { keepMemorySmall } from './memory.ts';
import { NETWORK_PARTS, runNetwork, STARTED_PARTS } from './network.ts';
import type { NetworkSettings } from './network-parts.ts';
import { installConflist } from './operate/conflist.ts';
import { type HandedOver, openDescriptorStore } from './operate/descriptors.ts';
import { offerHandOver, type Yielding } from './operate/hand-over/offer.ts';
import { handOverSocketOf } from './operate/hand-over/protocol.ts';
import { type TakenOver, takeOver } from './operate/hand-over/take-over.ts';
import { type HealthServer, startHealth } from './operate/health.ts';
import { daemonFacts, renderMetrics, type ServingFacts } from './operate/metrics.ts';
import { notifySystemd } from './operate/notify.ts';
import { Readiness } from './operate/readiness.ts';
import { type KeptSocket, serveSocket, socketOf } from './operate/socket.ts';
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
  stop: () => void,
): Promise<void> {
  setMaxListeners(0, signal); // a listener for every part that waits
  const readiness = new Readiness(NETWORK_PARTS, log);
  let health: HealthServer | undefined;
  const sockets: KeptSocket[] = [];
  let servingFacts: (() => ServingFacts) | undefined;
  const nl = openNetlink();
  try {
    const handOverSocket = handOverSocketOf(options.subnetFile);
    const before = options.takeOver ? await takeOver(handOverSocket, log) : undefined;
    const descriptors = openDescriptorStore(log, before && handedOver(before));
    const duty = new Duty(signal);
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
    const serveHealth = async (): Promise<void> => {
      if (options.healthzPort !== 0) health = await startHealth(options.healthzIp, options.healthzPort, sources);
    };
    await serveHealth();
    const statusSocket = await serveSocket(socketOf(options.subnetFile), sources, log);
    sockets.push(statusSocket);
    let isStarted = false;
    const yielding: Yielding = {
      state: () => (isStarted ? 'serving' : 'starting'),
      refusal: () => (before === undefined || isStarted ? undefined : 'it is itself taking over from another'),
      rest: async () => {
        readiness.stop();
        if (!(await duty.yield())) log.warn('Not all parts came to rest in time');
        manager.rest?.(true);
        health?.close();
      },
      descriptors: () => descriptors.inUse,
      pause: async () => duty.carrier?.pause(),
      resume: async () => {
        if (signal.aborted) return;
        await duty.carrier?.resume();
        manager.rest?.(false);
        duty.resume();
        readiness.restart();
        await Promise.all(sockets.map((socket) => socket.claim()));
        await untilDone(serveHealth, log, signal);
      },
      taken: () => before?.end(),
      end: stop,
    };
    sockets.push(await offerHandOver(handOverSocket, yielding, log));
    signal.addEventListener('abort', () => readiness.stop(), { once: true });
    void readiness.untilWell(STARTED_PARTS, signal).then(() => {
      if (signal.aborted) return;
      isStarted = true;
      before?.taken();
      // systemd ends a service that is not ready in time; one that only its peers do not answer has to stay.
      reportToSystemd('READY=1', log);
      descriptors.closeRest();
      if (options.cniConfFile !== '') installConflist(options.cniConfFile, options.subnetFile, log);
      keepMemorySmall(signal).catch((error: unknown) => {
        log.warn(`Memory that is no longer needed stays in use from now on: ${messageOf(error)}`);
      });
    });
    const onServing = (facts: () => ServingFacts): void => {
      servingFacts = facts;
    };
    const { engine, antiSpoofing: filterPeers } = options;
    // Which engine it is, is decided above the one in user space.
    const { engine: _, ...tuning } = engine;
    const inUserSpace = tunDataPath({ engine: tuning, filterPeers }, descriptors, log, (overlay) =>
      leftDevice(nl, overlay),
    );
    const startDataPath = withPrograms({ engine, filterPeers }, inUserSpace, log);
    const required = async () => {
      const what = manager.statistics?.().name ?? 'the source of leases';
      return (await resolveHosts(manager.endpoints)).map((address) => ({ address, what }));
    };
    const identity = openIdentity(options.identityFile, (device) => getLink(nl, device)?.mac, log);
    const clearDataPaths = (networks: readonly Prefix[]) => removeAbandoned(nl, networks);
    const parts = { manager, duty, startDataPath, clearDataPaths, identity, nl, required, readiness, onServing, log };
    await Promise.race([runNetwork(networkSettings(options), parts, signal), ...(before ? [before.failed] : [])]);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    reportToSystemd('STOPPING=1', log);
    health?.close();
    for (const socket of sockets) socket.close();
    nl.close();
  }
}

function handedOver({ descriptors, pause, end }: TakenOver): HandedOver {
  return { descriptors, released: pause, discard: end };
}

/** A port may still be that of a process which is about to end. */
async function untilDone(work: () => Promise<void>, log: Logger, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      return await work();
    } catch (error) {
      log.warn(`${messageOf(error)}: trying again`);
      await sleep(1000, signal);
    }
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
