import { Duty } from './duty.ts';

/** Works until its turn is over, again and again. */
async function work(duty: Duty, process: AbortSignal, seen: string[]): Promise<void> {
  while (!process.aborted) {
    const turn = duty.signal;
    seen.push('works');
    await new Promise<void>((resolve) => turn.addEventListener('abort', () => resolve(), { once: true }));
    seen.push('rests');
    await duty.rest(turn);
  }
  seen.push('ended');
}

test('who yields is at rest, until it is its turn again', async () => {
  const process = new AbortController();
  const duty = new Duty(process.signal);
  const seen: string[] = [];
  const working = work(duty, process.signal, seen);
  expect(await duty.yield()).toBe(true);
  expect(seen).toEqual(['works', 'rests']);
  duty.resume();
  await new Promise(setImmediate);
  expect(seen).toEqual(['works', 'rests', 'works']);
  expect(await duty.yield()).toBe(true);
  process.abort();
  await working;
  expect(seen).toEqual(['works', 'rests', 'works', 'rests', 'ended']);
});

test('the end of the process ends the turn, and nobody rests then', async () => {
  const process = new AbortController();
  const duty = new Duty(process.signal);
  const seen: string[] = [];
  const working = work(duty, process.signal, seen);
  process.abort();
  await working;
  expect(seen).toEqual(['works', 'rests', 'ended']);
});

test('a part that does not come to rest is not waited for, and has its turn again when it does', async () => {
  jest.useFakeTimers();
  try {
    const duty = new Duty(new AbortController().signal);
    const turn = duty.signal;
    const yielding = duty.yield();
    await jest.advanceTimersByTimeAsync(1000);
    expect(await yielding).toBe(false);
    duty.resume();
    await duty.rest(turn); // resolves
    expect(duty.signal.aborted).toBe(false);
  } finally {
    jest.useRealTimers();
  }
});
