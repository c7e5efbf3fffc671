/** The engines by the names that flanneld's options and the network config give them. */

import {
  DEFAULT_BUSY_POLL_US,
  DEFAULT_SOURCE_PORTS,
  type EngineChoice,
  type EngineName,
} from '@flannel-ts/flannel/backend-config';
import { formatIp, type Ip } from '@flannel-ts/inet/ip';
import { errnoName } from '@flannel-ts/linux/errno';
import type { PeerPath } from '../../datapath.ts';
import { delegate } from './delegate.ts';
import type { Engine, StartEngine } from './engine.ts';
import { startFastEngine } from './fast/engine.ts';
import { withQueues } from './queues.ts';
import { startReferenceEngine } from './reference/engine.ts';
import { SELF_TEST } from './shared.ts';
import { withSourcePorts } from './sources.ts';

export type EngineSettings = Required<EngineChoice>;

const DEFAULT_ENGINE: EngineName = 'fast';
const WATCH_INTERVAL_MS = 5000;

/** An explicit flag wins over the network config, so that one node can differ; both win over the defaults. */
export function engineSettings(flags: EngineChoice, config: EngineChoice): EngineSettings {
  const named = flags.engine ?? config.engine ?? DEFAULT_ENGINE;
  const engine = named === 'auto' ? DEFAULT_ENGINE : named;
  const sourcePorts = flags.sourcePorts ?? config.sourcePorts ?? DEFAULT_SOURCE_PORTS;
  // The other settings concern the fast engine only: changing them is no reason to restart the reference engine.
  if (engine === 'reference') return { engine, sourcePorts, offload: false, busyPollUs: 0, queues: 1 };
  return {
    engine,
    sourcePorts,
    offload: flags.offload ?? config.offload ?? true,
    busyPollUs: flags.busyPollUs ?? config.busyPollUs ?? DEFAULT_BUSY_POLL_US,
    queues: flags.queues ?? config.queues ?? 1,
  };
}

export function sameSettings(a: EngineSettings, b: EngineSettings): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/**
 * Every engine accepts a device with virtio headers. `warn` is called when the kernel refuses an offload that it had offered: once
 * per engine, and once for each peer whose path refuses it.
 */
export function chooseEngine(
  { engine, sourcePorts, offload, busyPollUs, queues }: EngineSettings,
  warn: (text: string) => void,
): StartEngine {
  if (engine === 'reference') return withSourcePorts(startReferenceEngine, sourcePorts, warn);
  const start = withQueues(withSourcePorts(startFastEngine, sourcePorts, warn), queues);
  const more = { offload, busyPollUs, mergeReceived: engine !== 'ebpf' };
  return async (config, signal) => watchFallbacks(await start({ ...config, ...more }, signal), warn);
}

export function watchFallbacks(engine: Engine, warn: (text: string) => void): Engine {
  let warned = false;
  const paths = new Map<Ip, string>();
  const look = (): void => {
    const { offloadFallbacks, lastErrno, abilities, peers } = engine.counters();
    if (offloadFallbacks > 0 && !warned) {
      warned = true;
      const why =
        abilities.selfTest === SELF_TEST.failed
          ? 'An offload of the kernel failed its test'
          : `The kernel refused an offload (${errnoName(lastErrno)})`;
      warn(`${why}: the engine goes on without it`);
    }
    for (const [peer, { path }] of peers) {
      if (path.unsegmentedFrom === 0) continue;
      const text = pathWarning(peer, path);
      if (paths.get(peer) !== text) warn(text);
      paths.set(peer, text);
    }
  };
  const timer = setInterval(look, WATCH_INTERVAL_MS).unref();
  void engine.failed.then(() => clearInterval(timer));
  return delegate(engine, {
    stop: async () => {
      clearInterval(timer);
      await engine.stop();
    },
  });
}

/** Logged once per peer and cause, although the engine retries every minute (RETRY_MS in fast/paths.ts). */
function pathWarning(peer: Ip, { unsegmentedFrom, lastErrno }: PeerPath): string {
  const what = unsegmentedFrom <= 1 ? 'all packets' : `packets of ${unsegmentedFrom} bytes or more`;
  const why = `the kernel cannot segment them on this path (${errnoName(lastErrno)})`;
  return `To peer ${formatIp(peer)}, ${what} are sent one by one: ${why}`;
}
