import { eventFdOf, POLLIN, POLLOUT, PollSet } from '@flannel-ts/linux/poll';
import { EngineError } from '../errors.ts';
import { STATE, sharedOf } from '../shared.ts';
import { familyOf, Underlay } from '../underlay.ts';
import { applyFirstRoutes, type EngineWorkerData, finishSending, runEngineWorker } from '../worker-main.ts';
import { Forwarder } from './forwarder.ts';
import { descriptorPorts } from './ports.ts';

const TUN = 0;
const SOCKET = 1;
const WAKE = 2;
const ROOM = 3;

/** Wake-ups in a row without a packet: a descriptor that is always ready would keep a processor busy. */
const MAX_IDLE_WAKEUPS = 10_000;

/** Reads the stop word before every turn, and sleeps only after a turn in which nothing moved. */
function run(data: EngineWorkerData): void {
  const { config, buffer, wakeFd, pollTimeoutMs } = data;
  const shared = sharedOf(buffer);
  const { state } = shared;
  const ports = descriptorPorts(config.tunFd, config.socketFd, config.sourceFds);
  const sockets = [config.socketFd, ...(config.sourceFds ?? [])];
  const underlay = new Underlay(familyOf(config.socketFd), config.port);
  const forwarder = new Forwarder(ports, config, shared, underlay, () => performance.now());
  const wake = eventFdOf(wakeFd);
  const set = new PollSet([
    { fd: config.tunFd, events: POLLIN },
    { fd: config.socketFd, events: POLLIN },
    { fd: wakeFd, events: POLLIN },
    { fd: -1, events: POLLOUT },
  ]);
  applyFirstRoutes(data, forwarder);
  let idleWakeups = 0;
  while (Atomics.load(state, STATE.stop) === 0) {
    Atomics.add(state, STATE.heartbeat, 1);
    if (forwarder.turn()) {
      idleWakeups = 0;
      continue;
    }
    // While a packet waits for room in the socket, the device's queue holds the others back.
    set.change(TUN, forwarder.stalled ? -1 : config.tunFd, POLLIN);
    set.change(ROOM, forwarder.stalled ? sockets[forwarder.source]! : -1, POLLOUT);
    set.wait(forwarder.hasChanges ? 0 : pollTimeoutMs);
    if (set.ready(WAKE) !== 0) wake.drain();
    if (set.ready(TUN) === 0 && set.ready(SOCKET) === 0 && set.ready(ROOM) === 0) idleWakeups = 0;
    else if (++idleWakeups > MAX_IDLE_WAKEUPS) {
      throw new EngineError('DESCRIPTOR_LOST', 'A descriptor of the engine is always ready and never has a packet');
    }
  }
  finishSending(
    () => forwarder.finish(),
    () => sockets[forwarder.source]!,
  );
}

runEngineWorker(run);
