/**
 * Several queues of the device, each with a thread and a socket of its own: for nodes whose one engine thread is at its limit.
 * The kernel gives each flow of pods one queue of the device, and all datagrams of one peer one of the sockets (both by hash),
 * so a flow stays in order. If the answers of a flow arrive through another queue, the kernel moves the flow to that queue
 * (tun_flow_update): a datagram may overtake another at that moment only.
 */

import { parsePort } from '@flannel-ts/inet/port';
import { closeFd, type Fd } from '@flannel-ts/linux/files';
import {
  getSockName,
  ipOfSockaddr,
  SO_REUSEPORT,
  SOL_SOCKET,
  setSocketOption,
  sockaddrInPort,
} from '@flannel-ts/linux/socket';
import { openFurtherQueue } from 'tun-tap/open';
import type { PeerCounters } from '../../datapath.ts';
import type { Engine, EngineConfig, EngineCounters, StartEngine } from './engine.ts';
import { openEngineSocket } from './socket.ts';

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
  // Required on the first socket, too, before another socket can bind the same port.
  setSocketOption(config.socketFd, SOL_SOCKET, SO_REUSEPORT, 1);
  const port = parsePort(String(sockaddrInPort(name)));
  const socketFd = openEngineSocket(ipOfSockaddr(name), port, { shared: true });
  opened.push(socketFd);
  const tunFd = openFurtherQueue(config.tunFd).fd;
  opened.push(tunFd);
  return { ...config, socketFd, tunFd };
}

/** Several engines as one: if one fails, all have failed; counters are added up. `onStopped` is called when all have stopped. */
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
    // Device and kernel are the same for all: the engine that turned most offloads off knows most.
    abilities: b.offloadFallbacks > a.offloadFallbacks ? b.abilities : a.abilities,
    lastErrno: a.lastErrno || b.lastErrno,
    peers,
  };
}

/** Each queue learns about paths by itself: the one with more fallbacks knows more. */
function addPeerCounters(a: PeerCounters, b: PeerCounters): PeerCounters {
  return { ...addNumbers(a, b), path: b.path.fallbacks > a.path.fallbacks ? b.path : a.path };
}

/** Adds the numeric fields; other fields are those of `a`. */
function addNumbers<T extends object>(a: T, b: T): T {
  const others = b as Readonly<Record<string, number>>;
  const sums = Object.entries(a).map(([name, value]: [string, unknown]) => {
    return [name, typeof value === 'number' ? value + others[name]! : value];
  });
  return Object.fromEntries(sums) as T;
}
