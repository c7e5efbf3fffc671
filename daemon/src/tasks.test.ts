import { setMaxListeners } from 'node:events';
import { pino } from 'pino';
import { sleep } from './abort.ts';
import { persistent, runTogether } from './tasks.ts';

test('runTogether() ends all tasks when one fails, and rejects with its error', async () => {
  const ended: string[] = [];
  const waiting = async (signal: AbortSignal) => {
    await sleep(3_600_000, signal);
    ended.push('waiting');
    throw new Error('aborted');
  };
  const failing = () => Promise.reject(new Error('broken'));
  await expect(runTogether([waiting, failing], new AbortController().signal)).rejects.toThrow('broken');
  expect(ended).toEqual(['waiting']);
});

test('runTogether() resolves when the signal ends the tasks', async () => {
  const controller = new AbortController();
  const running = runTogether([(signal) => sleep(3_600_000, signal), () => Promise.resolve()], controller.signal);
  controller.abort();
  await running;
});

test('persistent() restarts a task that failed, reports it, and clears the report once the task runs', async () => {
  const notes: (string | undefined)[] = [];
  const controller = new AbortController();
  let starts = 0;
  const parts = { what: 'Watching', note: (text?: string) => void notes.push(text), log: pino({ enabled: false }) };
  const task = persistent(
    parts,
    async (signal) => {
      if (++starts < 3) throw new Error('Cannot list links: no memory (ENOMEM)');
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    },
    { firstMs: 1, mostMs: 1, calmMs: 20 },
  );
  const running = task(controller.signal);
  while (notes.at(-1) !== undefined || notes.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  controller.abort();
  await running;
  const text = 'Watching failed, starting it again: Cannot list links: no memory (ENOMEM)';
  expect(notes).toEqual([text, text, undefined]);
  expect(starts).toBe(3);
});

test('persistent() writes a handful of lines about a task that fails all day', async () => {
  jest.useFakeTimers();
  try {
    const lines: string[] = [];
    const log = pino({ base: null }, { write: (line: string) => void lines.push(JSON.parse(line).msg) });
    const controller = new AbortController();
    setMaxListeners(0, controller.signal);
    const task = persistent({ what: 'Watching', note: () => {}, log }, () => Promise.reject(new Error('no memory')));
    const running = task(controller.signal);
    await jest.advanceTimersByTimeAsync(86_400_000);
    controller.abort();
    await running;
    expect(lines[0]).toBe('Watching failed, starting it again: no memory');
    expect(lines).toHaveLength(7);
  } finally {
    jest.useRealTimers();
  }
});
