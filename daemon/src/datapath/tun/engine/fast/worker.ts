import { eventFdOf, POLLIN, POLLOUT, PollSet } from '@flannel-ts/linux/poll';
import { yieldProcessor } from '@flannel-ts/linux/thread';
import { EngineError } from '../errors.ts';
import { STATE, sharedOf } from '../shared.ts';
import { Tables } from '../tables.ts';
import { familyOf, Underlay } from '../underlay.ts';
import { applyFirstRoutes, type EngineWorkerData, finishSending, runEngineWorker } from '../worker-main.ts';
import { acquireAbilities, releaseAbilities } from './abilities.ts';
import { FastForwarder } from './forwarder.ts';
import { Polling } from './polling.ts';
import { descriptorPorts } from './ports.ts';
import { testSegmentation } from './selftest.ts';

const TUN = 0;
const SOCKET = 1;
const WAKE = 2;
const ROOM = 3;

const now = (): number => performance.now();

/** Wake-ups in a row without a packet: a descriptor that is always ready would keep a processor busy. */
const MAX_IDLE_WAKEUPS = 10_000;

/** Each turn moves a batch in each direction that is ready; before it the stop word and announced changes are read. */
function run(data: EngineWorkerData): void {
  const { tunFd, socketFd, offload, mergeReceived } = data.config;
  const offered = acquireAbilities(tunFd, socketFd, offload ?? true, mergeReceived);
  try {
    const shared = sharedOf(data.buffer);
    const underlay = new Underlay(familyOf(socketFd), data.config.port);
    const open = (wasm: Parameters<typeof descriptorPorts>[0]) =>
      descriptorPorts(wasm, data.config, underlay.nameBytes);
    const outcome = offered.segment ? testSegmentation() : 'unknown';
    const abilities = outcome === 'failed' ? { ...offered, segment: false } : offered;
    const tables = new Tables(shared, underlay);
    const forwarder = new FastForwarder(open, data.config, abilities, tables, now);
    forwarder.noteTest(outcome);
    applyFirstRoutes(data, forwarder);
    loop(data, forwarder);
  } finally {
    releaseAbilities(tunFd, socketFd);
  }
}

function loop({ config, buffer, wakeFd, pollTimeoutMs }: EngineWorkerData, forwarder: FastForwarder): void {
  const { state, totals } = sharedOf(buffer);
  const { egress, ingress } = forwarder;
  const wake = eventFdOf(wakeFd);
  const set = new PollSet([
    { fd: config.tunFd, events: POLLIN },
    { fd: config.socketFd, events: POLLIN },
    { fd: wakeFd, events: POLLIN },
    { fd: -1, events: POLLOUT },
  ]);
  const sockets = [config.socketFd, ...(config.sourceFds ?? [])];
  const polling = new Polling((config.busyPollUs ?? 0) / 1000);
  let tested = false;
  let idleWakeups = 0;
  let moreOut = false;
  let moreIn = false;
  while (Atomics.load(state, STATE.stop) === 0) {
    Atomics.add(state, STATE.heartbeat, 1);
    // While messages wait for room in the socket, the device's queue holds the others back.
    set.change(TUN, egress.stalled ? -1 : config.tunFd, POLLIN);
    set.change(ROOM, egress.stalled ? sockets[egress.source]! : -1, POLLOUT);
    const more = (moreOut && !egress.stalled) || moreIn || forwarder.hasChanges;
    const looking = !more && polling.goesOn(now);
    const ready = set.wait(more || looking ? 0 : pollTimeoutMs);
    // Other threads go first.
    if (looking && ready === 0) yieldProcessor();
    if (set.ready(WAKE) !== 0) wake.drain();
    forwarder.refreshRoutes();
    // The device comes up some time after the start.
    if (!tested) tested = forwarder.testDevice();
    const socketEvents = set.ready(SOCKET);
    const tunEvents = set.ready(TUN);
    const before = totals[0]! + totals[2]!;
    const roomEvents = set.ready(ROOM);
    if (egress.stalled ? roomEvents !== 0 : moreOut || tunEvents !== 0) moreOut = egress.forward();
    if (moreIn || socketEvents !== 0) moreIn = ingress.forward();
    const moved = totals[0]! + totals[2]! !== before;
    if (moved) polling.moved(now());
    if ((tunEvents === 0 && socketEvents === 0 && roomEvents === 0) || moved) idleWakeups = 0;
    else if (++idleWakeups > MAX_IDLE_WAKEUPS) {
      throw new EngineError('DESCRIPTOR_LOST', 'A descriptor of the engine is always ready and never has a packet');
    }
  }
  finishSending(
    () => egress.finish(),
    () => sockets[egress.source]!,
  );
}

runEngineWorker(run);
