import type { Monitor } from '@flannel-ts/rtnetlink/monitor';
import { pino } from 'pino';
import { startKernelEvents } from './events.ts';

const until = async (condition: () => boolean) => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
};

test('startKernelEvents() opens a monitor that fails again, counts the gap as a change, and never throws', async () => {
  const lines: string[] = [];
  const log = pino({ base: null }, { write: (line: string) => void lines.push(JSON.parse(line).msg) });
  const broken = () => {
    throw new Error('Cannot read network events: bad file descriptor (EBADF)');
  };
  const opened: (() => unknown[])[] = [() => [], broken, broken, () => []];
  let made = 0;
  let drains = 0;
  const open = () => {
    const drain = opened[Math.min(made++, opened.length - 1)]!;
    // The first one works for a while and then fails like the others.
    return { drain: () => (made === 1 && drains++ > 2 ? broken() : drain()), close: broken } as unknown as Monitor;
  };
  const events = startKernelEvents(open, log, 1);
  let rung = 0;
  const unsubscribe = events.subscribe(() => rung++);
  await until(() => rung > 0);
  expect(made).toBe(4);
  expect(lines).toEqual([
    'Changes of the network are seen every few seconds only, trying again: Cannot read network events: bad file descriptor (EBADF)',
    'Changes of the network are seen at once again',
  ]);
  unsubscribe();
  events.close();
});

test('startKernelEvents() calls all who listen, until they unsubscribe', async () => {
  let pending = [1];
  const monitor = { drain: () => pending.splice(0), close: () => {} } as unknown as Monitor;
  const events = startKernelEvents(() => monitor, pino({ enabled: false }), 1);
  const calls = [0, 0];
  const unsubscribe = events.subscribe(() => calls[0]!++);
  events.subscribe(() => calls[1]!++);
  pending = [1];
  await until(() => calls[1] === 1);
  unsubscribe();
  pending = [1];
  await until(() => calls[1] === 2);
  events.close();
  expect(calls[0]).toBe(1);
});
