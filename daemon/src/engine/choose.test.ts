import { chooseEngine, watchFallbacks } from './choose.ts';
import type { Engine } from './engine.ts';
import { startReferenceEngine } from './reference/engine.ts';

test('chooseEngine() gives only the fast engine a virtio header', () => {
  expect(chooseEngine('fast', true, () => {}).vnetHeader).toBe(true);
  expect(chooseEngine('reference', true, () => {})).toEqual({ start: startReferenceEngine, vnetHeader: false });
});

test('watchFallbacks() warns once', async () => {
  jest.useFakeTimers();
  const counters = { offloadFallbacks: 0, lastErrno: 5 };
  const engine = { counters: () => counters, failed: new Promise(() => {}), stop: async () => {} };
  const warnings: string[] = [];
  const watched = watchFallbacks(engine as unknown as Engine, (text) => void warnings.push(text));
  jest.advanceTimersByTime(6000);
  expect(warnings).toEqual([]);
  counters.offloadFallbacks = 2;
  jest.advanceTimersByTime(60_000);
  expect(warnings).toHaveLength(1);
  await watched.stop();
  jest.useRealTimers();
});
