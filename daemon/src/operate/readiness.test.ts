import { pino } from 'pino';
import { Readiness } from './readiness.ts';

const log = pino({ level: 'silent' });

test('Readiness is ready when every part is well, and not again when one has trouble', () => {
  let now = 0;
  const readiness = new Readiness(['lease', 'engine'], log, () => now);
  expect(readiness.reasons).toEqual(['lease: not yet started (for 0 s)', 'engine: not yet started (for 0 s)']);
  readiness.report('lease', undefined);
  expect(readiness.ready).toBe(false);
  readiness.report('engine', undefined);
  expect(readiness.ready).toBe(true);
  now = 5000;
  readiness.report('engine', 'died');
  now = 17_000;
  readiness.report('engine', 'died again');
  expect(readiness.reasons).toEqual(['engine: died again (for 12 s)']);
  readiness.report('engine', undefined);
  expect(readiness.ready).toBe(true);
});

test('a trouble has the remedy that was reported with it', () => {
  const readiness = new Readiness([], log, () => 0);
  readiness.report('lease', 'no config', 'etcdctl get /config');
  readiness.report('engine', 'died');
  expect(readiness.present).toEqual([
    { part: 'lease', trouble: 'no config', remedy: 'etcdctl get /config', sinceMs: 0 },
    { part: 'engine', trouble: 'died', sinceMs: 0 },
  ]);
});

test('a note is no reason not to be ready', () => {
  const readiness = new Readiness([], log);
  readiness.note('reach', '1 of 5 other nodes does not answer');
  expect([readiness.ready, readiness.details]).toEqual([true, ['reach: 1 of 5 other nodes does not answer']]);
  readiness.note('reach', undefined);
  expect(readiness.details).toEqual([]);
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

describe('the log', () => {
  const setUp = () => {
    const lines: string[] = [];
    const write = (line: string) => void lines.push((JSON.parse(line) as { msg: string }).msg);
    const clock = { now: 0 };
    const readiness = new Readiness(['engine'], pino({ level: 'info' }, { write }), () => clock.now);
    readiness.report('engine', undefined);
    return { lines, clock, readiness };
  };

  test('has a line for each change, and no more than six a minute', () => {
    const { lines, clock, readiness } = setUp();
    for (let i = 0; i < 10; i++) {
      readiness.report('engine', 'died');
      readiness.report('engine', undefined);
    }
    expect(lines).toHaveLength(6);
    clock.now = 61_000;
    readiness.report('engine', 'died');
    expect(lines.at(-1)).toBe('Not ready (it changed 15 times since the last line): engine: died');
  });

  test('does not report what stops on request', () => {
    const { lines, readiness } = setUp();
    readiness.stop();
    readiness.report('engine', 'stopped');
    expect(lines).toEqual(['Ready']);
    expect(readiness.ready).toBe(false);
  });
});
