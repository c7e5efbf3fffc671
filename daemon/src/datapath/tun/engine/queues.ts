/**
 * Several queues of the device, each with a thread and a socket of its own: for nodes whose one engine thread is at its limit.
 * The kernel gives each flow of pods one queue of the device, and all datagrams of one peer one of the sockets (both by hash),
 * so what belongs together stays in order. Where the first packets of a flow come back by another queue, the kernel moves the
 * flow to that one (tun_flow_update): only there a datagram may overtake another.
 */

import { parsePort } from '@flannel-ts/inet/port';
import { closeFd, type Fd } from '@flannel-ts/linux/files';
import { getSockName, SO_REUSEPORT, SOL_SOCKET, setSocketOption, sockaddrInPort } from '@flannel-ts/linux/socket';
import { openFurtherQueue } from 'tun-tap/open';
import type { Engine, EngineConfig, EngineCounters, PeerCounters, StartEngine } from './engine.ts';
import { openEngineSocket } from './socket.ts';
import { addressOfName } from './underlay.ts';

/** An engine of `queues` engines; the caller's descriptors are the first queue, the others are opened and closed here. */
export function withQueues(start: StartEngine, queues: number): StartEngine {
  if (queues === 1) return start;
  return async (config, signal) => {
    const opened: Fd[] = [];
    const engines: Engine[] = [];
    const close = (): void => {
      for (const fd of opened.splice(0)) closeFd(fd);
    };
    try {
      for (let queue = 0; queue < queues; queue++) {
        engines.push(await start(queue === 0 ? config : furtherQueue(config, opened), signal));
      }
    } catch (error) {
      await Promise.all(engines.map((engine) => engine.stop()));
      close();
      throw error;
    }
    return joinEngines(engines, close);
  };
}

function furtherQueue(config: EngineConfig, opened: Fd[]): EngineConfig {
  const name = getSockName(config.socketFd);
  // Asked of a bound socket, too: only from now on another may have the same port.
  setSocketOption(config.socketFd, SOL_SOCKET, SO_REUSEPORT, 1);
  const port = parsePort(String(sockaddrInPort(name)));
  const socketFd = openEngineSocket(addressOfName(name), port, { shared: true });
  opened.push(socketFd);
  const tunFd = openFurtherQueue(config.tunFd).fd;
  opened.push(tunFd);
  return { ...config, socketFd, tunFd };
}

/** One engine to its user: the first that fails fails all, counters are added up. `onStopped` once no descriptor is in use. */
export function joinEngines(engines: readonly Engine[], onStopped: () => void): Engine {
  let stopping: Promise<void> | undefined;
  return {
    failed: Promise.race(engines.map(({ failed }) => failed)),
    setRoutes: (routes) => {
      for (const engine of engines) engine.setRoutes(routes);
    },
    changeRoutes: (change) => {
      for (const engine of engines) engine.changeRoutes(change);
    },
    setPathLimit: (peer, limit) => {
      for (const engine of engines) engine.setPathLimit(peer, limit);
    },
    counters: () => engines.map((engine) => engine.counters()).reduce(addCounters),
    stop: () => {
      stopping ??= Promise.all(engines.map((engine) => engine.stop())).then(onStopped);
      return stopping;
    },
  };
}

function addCounters(a: EngineCounters, b: EngineCounters): EngineCounters {
  const peers = new Map(a.peers);
  for (const [peer, counters] of b.peers) {
    const own = peers.get(peer);
    peers.set(peer, own === undefined ? counters : addPeerCounters(own, counters));
  }
  return {
    ...addNumbers(a, b),
    dropped: addNumbers(a.dropped, b.dropped),
    // Device and kernel are the same for all: who had to give something up tells most.
    abilities: b.offloadFallbacks > a.offloadFallbacks ? b.abilities : a.abilities,
    lastErrno: a.lastErrno || b.lastErrno,
    peers,
  };
}

/** Each queue learns by itself: the path is as bad as the one found that had most trouble. */
function addPeerCounters(a: PeerCounters, b: PeerCounters): PeerCounters {
  return { ...addNumbers(a, b), path: b.path.fallbacks > a.path.fallbacks ? b.path : a.path };
}

/** Both, field by field; what is no number is a's. */
function addNumbers<T extends object>(a: T, b: T): T {
  const others = b as Readonly<Record<string, number>>;
  const sums = Object.entries(a).map(([name, value]: [string, unknown]) => {
    return [name, typeof value === 'number' ? value + others[name]! : value];
  });
  return Object.fromEntries(sums) as T;
}
