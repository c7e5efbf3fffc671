import type { EngineName } from '@flannel-ts/flannel/backend-config';
import { parseIp } from '@flannel-ts/inet/ip';
import { chooseEngine, engineSettings, sameSettings, watchFallbacks } from './choose.ts';
import type { Engine } from './engine.ts';
import { startReferenceEngine } from './reference/engine.ts';
import { SELF_TEST } from './shared.ts';

const DEFAULTS = { engine: 'fast', offload: true, busyPollUs: 50, queues: 1, sourcePorts: 1 };

test('engineSettings() takes a flag, else the network config, else the default, for each setting by itself', () => {
  expect(engineSettings({}, { engine: 'fast' })).toEqual(DEFAULTS);
  expect(engineSettings({ engine: 'fast' }, { engine: 'reference', offload: false })).toEqual({
    engine: 'fast',
    offload: false,
    busyPollUs: 50,
    queues: 1,
    sourcePorts: 1,
  });
  expect(
    engineSettings(
      { offload: true, busyPollUs: 0, queues: 1, sourcePorts: 1 },
      { engine: 'fast', offload: false, busyPollUs: 9, sourcePorts: 8 },
    ),
  ).toMatchObject({
    offload: true,
    busyPollUs: 0,
    queues: 1,
    sourcePorts: 1,
  });
});

test('engineSettings() takes the fast engine where nothing else is said', () => {
  expect(engineSettings({}, {})).toEqual(DEFAULTS);
});

test('engineSettings() gives the reference engine no settings to differ in but source ports', () => {
  expect(engineSettings({ engine: 'reference' }, { offload: true, busyPollUs: 9, sourcePorts: 2 })).toEqual({
    engine: 'reference',
    sourcePorts: 2,
    offload: false,
    busyPollUs: 0,
    queues: 1,
  });
});

test('sameSettings() sees a difference in each setting', () => {
  const settings = engineSettings({ engine: 'fast' }, {});
  expect(sameSettings(settings, { ...settings })).toBe(true);
  for (const other of [{ engine: 'reference' as const }, { offload: false }, { busyPollUs: 1 }, { sourcePorts: 2 }]) {
    expect(sameSettings(settings, { ...settings, ...other })).toBe(false);
  }
});

test('chooseEngine() gives the engine of that name', () => {
  const chosen = (engine: EngineName) => chooseEngine(engineSettings({ engine, sourcePorts: 1 }, {}), () => {});
  expect(chosen('reference')).toBe(startReferenceEngine);
  expect(chosen('fast')).not.toBe(startReferenceEngine);
});

describe('watchFallbacks()', () => {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  function watch() {
    const path = { limit: 0, unsegmentedFrom: 0, fallbacks: 0, lastErrno: 0 };
    const paths = { '192.0.2.2': { ...path }, '192.0.2.3': { ...path } };
    const peers = new Map(Object.entries(paths).map(([ip, known]) => [parseIp(ip), { path: known }]));
    const counters = { offloadFallbacks: 0, lastErrno: 5, abilities: { selfTest: SELF_TEST.none }, peers };
    const engine = { counters: () => counters, failed: new Promise(() => {}), stop: async () => {} };
    const warnings: string[] = [];
    watchFallbacks(engine as unknown as Engine, (text) => void warnings.push(text));
    return { counters, paths, warnings };
  }

  test('warns once of an offload that the kernel refused, with the error', () => {
    const { counters, warnings } = watch();
    jest.advanceTimersByTime(6000);
    expect(warnings).toEqual([]);
    counters.offloadFallbacks = 2;
    jest.advanceTimersByTime(60_000);
    expect(warnings).toEqual(['The kernel refused an offload (EIO): the engine goes on without it']);
  });

  test('warns once of each path that takes no segmented datagrams, with the peer and the error', () => {
    const { paths, warnings } = watch();
    Object.assign(paths['192.0.2.3'], { unsegmentedFrom: 1472, fallbacks: 1, lastErrno: 90 });
    jest.advanceTimersByTime(60_000);
    Object.assign(paths['192.0.2.2'], { unsegmentedFrom: 1, fallbacks: 1, lastErrno: 5 });
    jest.advanceTimersByTime(60_000);
    expect(warnings).toEqual([
      'To peer 192.0.2.3, packets of 1472 bytes or more are sent one by one: the kernel cannot segment them on this path (EMSGSIZE)',
      'To peer 192.0.2.2, all packets are sent one by one: the kernel cannot segment them on this path (EIO)',
    ]);
  });
});
