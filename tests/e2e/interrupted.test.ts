/** An `up` that was cut off in the middle: the next `up` or `down` works and leaves nothing. */
import { cliOk, leftovers, outputs, servePods, stackName, start, unreachable } from './support.ts';

jest.setTimeout(600_000);

/** Starts `up` in a process group of its own and ends the whole group by `signal` as soon as `when` holds. */
async function cutUp(stack: string, signal: NodeJS.Signals, text: RegExp): Promise<void> {
  const child = start(['node', 'tools/run.mjs', 'up', '--stack', stack, '--nodes', '2', '--pods', '1', '--verbose'], {
    detached: true,
  });
  const ended = new Promise((resolve) => child.on('close', resolve));
  let said = '';
  await new Promise<void>((resolve) => {
    const look = (chunk: Buffer) => {
      said += chunk;
      if (text.test(said)) resolve();
    };
    child.stdout?.on('data', look);
    child.stderr?.on('data', look);
    child.on('close', () => resolve());
  });
  if (child.exitCode === null) process.kill(-child.pid!, signal);
  await ended;
  expect(child.exitCode).not.toBe(0);
}

describe.each([
  ['SIGKILL', /Etcd/i],
  ['SIGKILL', /node-0/],
  ['SIGINT', /node-0/],
] as const)('an up ended by %s', (signal, when) => {
  const stack = stackName(`cut-${signal.slice(3).toLowerCase()}-${when.source.replaceAll(/\W/g, '').toLowerCase()}`);

  afterAll(async () => {
    await cliOk('down', '--stack', stack);
  });

  test(`when it said ${when}: the next down leaves nothing`, async () => {
    await cutUp(stack, signal, when);
    await cliOk('down', '--stack', stack);
    expect(leftovers(stack)).toEqual([]);
  });

  test(`when it said ${when}: the next up completes it`, async () => {
    await cutUp(stack, signal, when);
    await cliOk('up', '--stack', stack, '--nodes', '2', '--pods', '1');
    const { pods } = await outputs(stack);
    const stop = await servePods(pods, 7000);
    try {
      expect(await unreachable(pods, 7000)).toEqual([]);
    } finally {
      stop();
    }
    await cliOk('down', '--stack', stack);
    expect(leftovers(stack)).toEqual([]);
  });
});
