import { runCommand } from './command.ts';

const never = new AbortController().signal;

describe('runCommand()', () => {
  test('ends as the command does', async () => {
    expect(await runCommand(['sh', '-c', 'exit 7'], {}, never)).toBe(7);
    expect(await runCommand(['sh', '-c', 'kill -TERM $$'], {}, never)).toBe(143);
  });

  test('names a program that is not there', async () => {
    await expect(runCommand(['no-such-program'], {}, never)).rejects.toThrow('Cannot run no-such-program');
  });

  test('ends all that the command has started when it is aborted', async () => {
    const interruption = new AbortController();
    const outcome = runCommand(['sh', '-c', 'sleep 600 & wait'], {}, interruption.signal);
    setTimeout(() => interruption.abort(), 200);
    expect(await outcome).toBe(143);
  });
});
