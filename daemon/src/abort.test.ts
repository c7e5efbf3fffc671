import { getEventListeners } from 'node:events';
import { Backoff, Bell, childSignal, sleep } from './abort.ts';

test('sleep() ends at once when the signal aborts', async () => {
  const controller = new AbortController();
  const sleeping = sleep(3_600_000, controller.signal);
  controller.abort();
  await sleeping;
  await sleep(3_600_000, controller.signal);
});

test('Bell.wait() ends at a ring that came before it, once', async () => {
  const bell = new Bell();
  const { signal } = new AbortController();
  bell.ring();
  bell.ring();
  await bell.wait(3_600_000, signal);
  let ended = false;
  const second = bell.wait(3_600_000, signal).then(() => {
    ended = true;
  });
  await Promise.resolve();
  expect(ended).toBe(false);
  bell.ring();
  await second;
});

test('Bell.wait() ends with the signal', async () => {
  const controller = new AbortController();
  const waiting = new Bell().wait(3_600_000, controller.signal);
  controller.abort();
  await waiting;
});

test('Bell.wait() ends after its time, and leaves nothing behind at the signal', async () => {
  const { signal } = new AbortController();
  const bell = new Bell();
  await bell.wait(1, signal);
  const waiting = bell.wait(3_600_000, signal);
  expect(getEventListeners(signal, 'abort')).toHaveLength(1);
  bell.ring();
  await waiting;
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

test('Backoff.take() doubles up to the limit, and starts again after reset()', () => {
  const backoff = new Backoff(100, 500, () => 0);
  expect([1, 2, 3, 4].map(() => backoff.take())).toEqual([100, 200, 400, 500]);
  backoff.reset();
  expect(backoff.take()).toBe(100);
});

test('childSignal() aborts with its parent', () => {
  const parent = new AbortController();
  const child = childSignal(parent.signal);
  parent.abort();
  expect(child.signal.aborted).toBe(true);
  expect(childSignal(parent.signal).signal.aborted).toBe(true);
});
