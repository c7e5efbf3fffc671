import { sleep } from './abort.ts';
import { runTogether } from './tasks.ts';

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
