import { Worker } from 'node:worker_threads';
import { parseIp } from '@flannel-ts/inet/ip';
import { parsePort } from '@flannel-ts/inet/port';
import { type EventFd, eventfd } from '@flannel-ts/linux/poll';
import type { Engine } from './engine.ts';
import { PHASE, STATE } from './shared.ts';
import { spawnWorker } from './spawn.ts';
import { startWorkerEngine } from './worker-engine.ts';
import type { EngineWorkerData } from './worker-main.ts';

jest.mock('./spawn.ts', () => ({ spawnWorker: jest.fn() }));

/** Any descriptors will do: the workers here never touch them. */
let descriptors: EventFd[];
beforeEach(() => {
  descriptors = [eventfd(), eventfd()];
});
afterEach(() => {
  jest.useRealTimers();
  for (const descriptor of descriptors) descriptor.close();
});

/** An engine whose worker is this code; `state` is its view of the state words (shared.ts). */
function startWith(code: string, signal?: AbortSignal): Promise<Engine> {
  const source = `
    const { parentPort, workerData } = require('node:worker_threads');
    const state = new Int32Array(workerData.buffer, 0, 16);
    const running = () => parentPort.postMessage({ type: 'running' });
    ${code}`;
  jest.mocked(spawnWorker).mockImplementation((_, workerData) => new Worker(source, { eval: true, workerData }));
  const [tunFd, socketFd] = descriptors.map(({ fd }) => fd) as [number, number];
  const config = { tunFd, socketFd, tunAddress: parseIp('10.1.0.0'), mtu: 1472, port: parsePort(8285) };
  return startWorkerEngine('engine-reference', config, signal);
}

/** Only the timers of the engine are false ones: threads and promises go on as ever. */
const OWN_TIMERS = {
  doNotFake: ['Date', 'hrtime', 'nextTick', 'performance', 'queueMicrotask', 'setImmediate', 'clearImmediate'],
} satisfies Parameters<typeof jest.useFakeTimers>[0];

const UNTIL_STOP = 'while (Atomics.load(state, 1) === 0) Atomics.wait(state, 15, 0, 5);';

describe('startWorkerEngine()', () => {
  test('rejects when the worker throws before it runs', async () => {
    await expect(startWith(`throw new Error('No such library')`)).rejects.toMatchObject({
      code: 'WORKER_DIED',
      message: "The engine's thread died: No such library",
    });
  });

  test('rejects when the worker exits before it runs', async () => {
    await expect(startWith('process.exit(4)')).rejects.toMatchObject({
      code: 'WORKER_DIED',
      message: "The engine's thread ended by itself with exit code 4",
    });
  });

  test('rejects with the code that the worker reports', async () => {
    const failed = `{ type: 'failed', code: 'DESCRIPTOR_LOST', message: 'Gone' }`;
    await expect(startWith(`parentPort.postMessage(${failed})`)).rejects.toMatchObject({
      code: 'DESCRIPTOR_LOST',
      message: 'Gone',
    });
  });

  test('rejects when the worker hangs before it runs, and ends it', async () => {
    jest.useFakeTimers(OWN_TIMERS);
    const starting = startWith(UNTIL_STOP);
    jest.advanceTimersByTime(11_000);
    await expect(starting).rejects.toMatchObject({
      code: 'STUCK',
      message: "The engine's thread has shown no sign of life for 10 s",
    });
  });

  test('rejects with the worse news when a worker that hangs cannot be stopped', async () => {
    jest.useFakeTimers(OWN_TIMERS);
    const handlers = process.listenerCount('exit');
    const starting = startWith('for (;;);');
    const rejected = expect(starting).rejects.toMatchObject({ code: 'UNSTOPPABLE' });
    jest.advanceTimersByTime(11_000);
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    jest.advanceTimersByTime(6000);
    await rejected;
    while (process.listenerCount('exit') > handlers) await realPause(); // the thread is gone
  });

  test('leaves no exit handler behind', async () => {
    const before = process.listenerCount('exit');
    const engine = await startWith(`running(); ${UNTIL_STOP}`);
    expect(process.listenerCount('exit')).toBe(before + 1);
    await engine.stop();
    expect(process.listenerCount('exit')).toBe(before);
  });
});

test('a process that exits lets the thread come to its end first', async () => {
  const before = process.listeners('exit');
  const last = `Atomics.wait(state, 15, 0, 100); Atomics.store(state, ${STATE.phase}, ${PHASE.ended});`;
  const engine = await startWith(`running(); ${UNTIL_STOP} ${last}`);
  const { buffer } = jest.mocked(spawnWorker).mock.lastCall![1] as EngineWorkerData;
  const [onExit] = process.listeners('exit').filter((listener) => !before.includes(listener));
  onExit!(0);
  expect(Atomics.load(new Int32Array(buffer), STATE.phase)).toBe(PHASE.ended);
  await engine.stop();
});

describe('failed', () => {
  test('settles when the worker throws', async () => {
    const engine = await startWith(`running(); setTimeout(() => { throw new Error('Later') }, 5)`);
    expect(await engine.failed).toMatchObject({ code: 'WORKER_DIED', message: "The engine's thread died: Later" });
    await engine.stop();
  });

  test('settles when the worker ends by itself', async () => {
    const engine = await startWith('running()');
    expect(await engine.failed).toMatchObject({ code: 'WORKER_DIED' });
    engine.setRoutes([]);
  });

  test('settles when the worker shows no sign of life', async () => {
    jest.useFakeTimers(OWN_TIMERS);
    const engine = await startWith(`running(); ${UNTIL_STOP}`);
    jest.advanceTimersByTime(11_000);
    expect(await engine.failed).toMatchObject({ code: 'STUCK' });
    await engine.stop();
  });

  test('does not settle while the heart beats', async () => {
    jest.useFakeTimers(OWN_TIMERS);
    const beat = 'Atomics.add(state, 2, 1);';
    const engine = await startWith(
      `running(); while (Atomics.load(state, 1) === 0) { ${beat} Atomics.wait(state, 15, 0, 1); }`,
    );
    let failed = false;
    void engine.failed.then(() => {
      failed = true;
    });
    for (let tick = 0; tick < 30; tick++) {
      await realPause();
      jest.advanceTimersByTime(1000);
    }
    expect(failed).toBe(false);
    await engine.stop();
  });
});

describe('stop()', () => {
  test('rejects when the worker does not end, and ends it if it can', async () => {
    jest.useFakeTimers(OWN_TIMERS);
    const engine = await startWith('running(); for (;;);');
    const stopping = engine.stop();
    jest.advanceTimersByTime(6000);
    await expect(stopping).rejects.toMatchObject({ code: 'UNSTOPPABLE' });
    await engine.stop();
  });
});

/** Some milliseconds, though the timers are false ones. */
async function realPause(): Promise<void> {
  const start = process.hrtime.bigint();
  while (process.hrtime.bigint() - start < 5_000_000n) await new Promise((resolve) => setImmediate(resolve));
}
