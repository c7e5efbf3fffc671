import { pino } from 'pino';
import { Readiness } from './readiness.ts';

const log = pino({ level: 'silent' });

test('Readiness is ready when every part is well, and not again when one has trouble', () => {
  const readiness = new Readiness(['lease', 'engine'], log);
  let told = 0;
  readiness.whenReady(() => told++);
  expect(readiness.reasons).toEqual(['lease: not yet started', 'engine: not yet started']);
  readiness.report('lease', undefined);
  expect(readiness.ready).toBe(false);
  readiness.report('engine', undefined);
  expect(readiness.ready).toBe(true);
  readiness.report('engine', 'died');
  expect(readiness.reasons).toEqual(['engine: died']);
  readiness.report('engine', undefined);
  expect(told).toBe(1);
});

test('untilWell() waits for its own parts only, or for the signal', async () => {
  const readiness = new Readiness(['lease', 'engine'], log);
  const controller = new AbortController();
  const engine = readiness.untilWell(['engine'], controller.signal);
  const lease = readiness.untilWell(['lease'], controller.signal);
  readiness.report('engine', undefined);
  await engine;
  controller.abort();
  await lease;
  await readiness.untilWell(['engine'], new AbortController().signal);
});
