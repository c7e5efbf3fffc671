import { NUD_FAILED, NUD_NOARP, NUD_PERMANENT, NUD_REACHABLE, NUD_STALE } from '@flannel-ts/rtnetlink/constants';
import type { Monitor } from '@flannel-ts/rtnetlink/monitor';
import { pino } from 'pino';
import { startKernelEvents } from './events.ts';

/** What marks a change of this process's own in these tests. */
const ECHO = 99;

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

test('startKernelEvents() tells of entries of the links that a listener asks for, but for those that the kernel has learned', async () => {
  let pending: unknown[] = [];
  const monitor = { drain: () => pending.splice(0), close: () => {} } as unknown as Monitor;
  const events = startKernelEvents(() => monitor, pino({ enabled: false }), 1);
  const calls = { all: 0, ours: 0 };
  events.subscribe(() => calls.all++);
  events.subscribe(() => calls.ours++, {
    entryLinks: new Set([7]),
    isEcho: ({ action, entry: { flags } }) => action === 'set' && flags === ECHO,
  });
  const after = async (...what: unknown[]) => {
    const before = { ...calls };
    pending = what;
    await until(() => pending.length === 0);
    await new Promise((resolve) => setTimeout(resolve, 5));
    return [calls.all - before.all, calls.ours - before.ours];
  };
  const neighbour = (index: number, state: number, action = 'set') => ({
    type: 'neighbour',
    action,
    neighbour: { index, state },
  });
  const fdb = (index: number, state: number, action = 'set', flags = 0) => ({
    type: 'fdb',
    action,
    entry: { index, state, flags },
  });
  expect(await after({ type: 'link' })).toEqual([1, 1]);
  expect(await after({ type: 'lost' })).toEqual([1, 1]);
  expect(await after(neighbour(7, NUD_PERMANENT))).toEqual([0, 1]);
  expect(await after(neighbour(7, NUD_FAILED, 'deleted'))).toEqual([0, 1]);
  expect(await after(fdb(7, NUD_PERMANENT, 'deleted'), fdb(7, NUD_PERMANENT))).toEqual([0, 1]);
  expect(await after(neighbour(8, NUD_PERMANENT), fdb(8, NUD_PERMANENT))).toEqual([0, 0]);
  expect(await after(neighbour(7, NUD_NOARP))).toEqual([0, 0]);
  expect(await after(fdb(7, NUD_REACHABLE), fdb(7, NUD_STALE, 'deleted'))).toEqual([0, 0]);
  expect(await after(fdb(7, NUD_PERMANENT, 'set', ECHO))).toEqual([0, 0]);
  expect(await after(fdb(7, NUD_PERMANENT, 'set', ECHO), fdb(7, NUD_PERMANENT, 'deleted', ECHO))).toEqual([0, 1]);
  events.close();
});
