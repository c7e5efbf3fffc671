import { chooseEngine, engineSettings, sameSettings, watchFallbacks } from './choose.ts';
import type { Engine } from './engine.ts';
import { startReferenceEngine } from './reference/engine.ts';
import { SELF_TEST } from './shared.ts';

test('engineSettings() takes a flag, else the network config, else the default, for each setting by itself', () => {
  expect(engineSettings({}, { engine: 'fast' })).toEqual({ engine: 'fast', offload: true, busyPollUs: 50, queues: 1 });
  expect(engineSettings({ engine: 'fast' }, { engine: 'reference', offload: false })).toEqual({
    engine: 'fast',
    offload: false,
    busyPollUs: 50,
    queues: 1,
  });
  expect(
    engineSettings({ offload: true, busyPollUs: 0, queues: 1 }, { engine: 'fast', offload: false, busyPollUs: 9 }),
  ).toMatchObject({
    offload: true,
    busyPollUs: 0,
    queues: 1,
  });
});

test('engineSettings() takes the fast engine where nothing else is said', () => {
  expect(engineSettings({}, {})).toEqual({ engine: 'fast', offload: true, busyPollUs: 50, queues: 1 });
});

test('engineSettings() gives the reference engine no settings to differ in', () => {
  expect(engineSettings({ engine: 'reference' }, { offload: true, busyPollUs: 9 })).toEqual({
    engine: 'reference',
    offload: false,
    busyPollUs: 0,
    queues: 1,
  });
});

test('sameSettings() sees a difference in each setting', () => {
  const settings = engineSettings({ engine: 'fast' }, {});
  expect(sameSettings(settings, { ...settings })).toBe(true);
  for (const other of [{ engine: 'reference' as const }, { offload: false }, { busyPollUs: 1 }]) {
    expect(sameSettings(settings, { ...settings, ...other })).toBe(false);
  }
});

test('chooseEngine() gives the engine of that name', () => {
  expect(chooseEngine(engineSettings({ engine: 'reference' }, {}), () => {})).toBe(startReferenceEngine);
  expect(chooseEngine(engineSettings({ engine: 'fast' }, {}), () => {})).not.toBe(startReferenceEngine);
});

test('watchFallbacks() warns once', async () => {
  jest.useFakeTimers();
  const counters = { offloadFallbacks: 0, lastErrno: 5, abilities: { selfTest: SELF_TEST.none } };
  const engine = { counters: () => counters, failed: new Promise(() => {}), stop: async () => {} };
  const warnings: string[] = [];
  const watched = watchFallbacks(engine as unknown as Engine, (text) => void warnings.push(text));
  jest.advanceTimersByTime(6000);
  expect(warnings).toEqual([]);
  counters.offloadFallbacks = 2;
  jest.advanceTimersByTime(60_000);
  expect(warnings).toEqual(['The kernel refused an offload (errno 5): the engine goes on without it']);
  await watched.stop();
  jest.useRealTimers();
});
