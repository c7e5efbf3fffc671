import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createNetServer, type Server as NetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isProcessAlive, processStartTime } from '@flannel-ts/linux/process';
import { type Descriptor, parseEnvironment, readStatus, restartDelay, type Status, writeStatus } from './descriptor.ts';
import { rotateLog } from './log.ts';
import { supervise } from './supervisor.ts';

let directory: string;
let health: Server;
let healthStatus: number;
const stops: (() => Promise<void>)[] = [];
const children: ChildProcess[] = [];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'flannel-supervisor-'));
  healthStatus = 503;
  health = createServer((_, response) => response.writeHead(healthStatus).end());
  await new Promise<void>((resolve) => void health.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
  for (const child of children.splice(0)) child.kill('SIGKILL');
  health.close();
  rmSync(directory, { recursive: true, force: true });
});

function descriptor(script: string, changes: Partial<Descriptor> = {}): Descriptor {
  return {
    name: 'test',
    command: ['/bin/sh', '-c', script],
    directory,
    environment: { PATH: process.env.PATH!, DIR: directory },
    environmentFiles: [join(directory, 'service.env')],
    log: { path: join(directory, 'log/service.log'), maxBytes: 1_000, keep: 2 },
    readyUrl: `http://127.0.0.1:${(health.address() as AddressInfo).port}/`,
    statusFile: join(directory, 'status.json'),
    configHash: 'one',
    stopMs: 2_000,
    backoff: { firstMs: 10, maxMs: 50, resetMs: 60_000 },
    ...changes,
  };
}

/** Supervises in this process; the returned function ends it as SIGTERM would. */
function run(of: Descriptor): () => Promise<void> {
  const controller = new AbortController();
  const done = supervise(of, controller.signal);
  const stop = async () => {
    controller.abort();
    await done;
  };
  stops.push(stop);
  return stop;
}

async function until<T>(what: () => T | undefined | false): Promise<T> {
  for (let i = 0; i < 1_000; i++) {
    const value = what();
    if (value !== undefined && value !== false) return value;
    await sleep(10);
  }
  throw new Error(`Waited in vain for ${what}; status ${readFileSync(join(directory, 'status.json'), 'utf8')}`);
}

const status = (): Status | undefined => readStatus(join(directory, 'status.json'));
const running = () => {
  const now = status();
  return now?.pid === undefined ? undefined : { pid: now.pid, startTime: now.startTime! };
};
const SLEEPER = 'exec sleep 1000';

describe('supervise()', () => {
  test('starts the service and says when it is ready', async () => {
    run(descriptor(SLEEPER));
    await until(() => status()?.answering);
    expect(status()).toMatchObject({ ready: false, restarts: 0, configHash: 'one', supervisor: { pid: process.pid } });
    healthStatus = 200;
    await until(() => status()?.ready);
  });

  test('starts it again when it ends, and counts', async () => {
    run(descriptor('echo once >> $DIR/starts; exit 3'));
    await until(() => (status()?.restarts ?? 0) >= 2);
    expect(status()?.lastExit).toMatchObject({ code: 3 });
    expect(readFileSync(join(directory, 'starts'), 'utf8').split('\n').length).toBeGreaterThan(2);
  });

  test('names the signal that ended it', async () => {
    run(descriptor('kill -KILL $$'));
    await until(() => status()?.lastExit?.signal === 'SIGKILL');
  });

  test('goes on trying when the program is missing', async () => {
    run(descriptor('', { command: [join(directory, 'none')] }));
    await until(() => (status()?.restarts ?? 0) >= 1);
    writeFileSync(join(directory, 'none'), '#!/bin/sh\nexec sleep 1000\n', { mode: 0o755 });
    await until(running);
  });

  test('ends the service when it is told to stop', async () => {
    const stop = run(descriptor(SLEEPER));
    const { pid, startTime } = await until(running);
    await stop();
    expect(isProcessAlive(pid, startTime)).toBe(false);
    expect(status()).toMatchObject({ ready: false });
    expect(status()?.pid).toBeUndefined();
  });

  test('kills a service, and its children, that ignore SIGTERM', async () => {
    const stop = run(
      descriptor("trap '' TERM; sleep 1000 & echo $! > $DIR/child; wait; wait; sleep 1000", { stopMs: 100 }),
    );
    const { pid, startTime } = await until(running);
    const child = Number(
      await until(() => existsSync(join(directory, 'child')) && readFileSync(join(directory, 'child'), 'utf8')),
    );
    await stop();
    expect(isProcessAlive(pid, startTime)).toBe(false);
    await until(() => processStartTime(child) === undefined);
  });

  test('reads the environment file at every start', async () => {
    writeFileSync(join(directory, 'service.env'), 'WORD=first\n');
    run(descriptor('echo $WORD >> $DIR/words; sleep 0.02'));
    await until(() => existsSync(join(directory, 'words')));
    writeFileSync(join(directory, 'service.env'), '# changed\nWORD=second=2\n');
    await until(() => readFileSync(join(directory, 'words'), 'utf8').includes('second=2'));
  });

  test('lets the service write its log itself', async () => {
    run(descriptor('echo out; echo err >&2; exec sleep 1000'));
    await until(() => existsSync(join(directory, 'log/service.log')));
    await until(() => readFileSync(join(directory, 'log/service.log'), 'utf8') === 'out\nerr\n');
  });
});

describe('supervise() after the death of another supervisor', () => {
  function orphan(configHash: string): { pid: number; startTime: string } {
    const child = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });
    children.push(child);
    const identity = { pid: child.pid!, startTime: processStartTime(child.pid!)! };
    writeStatus(join(directory, 'status.json'), {
      supervisor: { pid: 1, startTime: 'long ago' },
      ...identity,
      ready: true,
      answering: true,
      restarts: 0,
      configHash,
    });
    return identity;
  }

  test('takes over a service with the same configuration, uninterrupted', async () => {
    const before = orphan('one');
    const stop = run(descriptor('echo started > $DIR/started'));
    await until(() => status()?.supervisor.pid === process.pid && status()?.pid === before.pid);
    expect(isProcessAlive(before.pid, before.startTime)).toBe(true);
    expect(existsSync(join(directory, 'started'))).toBe(false);
    await stop();
    expect(isProcessAlive(before.pid, before.startTime)).toBe(false);
  });

  test('starts the service when the one it took over ends', async () => {
    const before = orphan('one');
    run(descriptor(SLEEPER));
    await until(() => status()?.pid === before.pid && status()?.supervisor.pid === process.pid);
    process.kill(before.pid, 'SIGKILL');
    await until(() => running() && running()!.pid !== before.pid);
  });

  test('replaces a service with another configuration', async () => {
    const before = orphan('zero');
    run(descriptor(SLEEPER));
    await until(() => running() && running()!.pid !== before.pid);
    expect(isProcessAlive(before.pid, before.startTime)).toBe(false);
  });

  test('does not touch a process that has only the same pid', async () => {
    const before = orphan('zero');
    writeStatus(join(directory, 'status.json'), { ...status()!, startTime: '1' });
    run(descriptor(SLEEPER));
    await until(() => running() && running()!.pid !== before.pid);
    expect(isProcessAlive(before.pid, before.startTime)).toBe(true);
  });
});

describe('supervise() of a service that can hand over', () => {
  let greeter: NetServer;
  let greeting: { pid: number; state: string } | undefined;
  let before: { pid: number; startTime: string };
  let stop: () => Promise<void>;

  beforeEach(async () => {
    greeter = createNetServer((connection) => connection.end(greeting ? `${JSON.stringify(greeting)}\n` : ''));
    await new Promise<void>((resolve) => void greeter.listen(join(directory, 'handover'), resolve));
    const child = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });
    children.push(child);
    before = { pid: child.pid!, startTime: processStartTime(child.pid!)! };
    greeting = { pid: before.pid, state: 'serving' };
    writeStatus(join(directory, 'status.json'), {
      supervisor: { pid: 1, startTime: 'long ago' },
      ...before,
      ready: true,
      answering: true,
      restarts: 0,
      configHash: 'zero',
    });
  });
  afterEach(() => void greeter.close());

  function replace(script: string): void {
    const handOver = { socket: join(directory, 'handover'), argument: '-take-over' };
    stop = run(descriptor(`echo "$$ $0" >> $DIR/started; ${script}`, { handOver }));
  }
  const started = () =>
    existsSync(join(directory, 'started')) ? readFileSync(join(directory, 'started'), 'utf8').trim().split('\n') : [];

  test('the new one is started beside the one before, which ends when the new one serves', async () => {
    replace(SLEEPER);
    const [pid, argument] = (await until(() => started()[0])).split(' ');
    expect(argument).toBe('-take-over');
    await until(() => status()?.supervisor.pid === process.pid);
    expect(status()).toMatchObject({ pid: before.pid, configHash: 'zero' });
    expect(isProcessAlive(before.pid, before.startTime)).toBe(true);
    greeting = { pid: Number(pid), state: 'starting' };
    await sleep(150);
    expect(isProcessAlive(before.pid, before.startTime)).toBe(true);
    greeting = { pid: Number(pid), state: 'serving' };
    await until(() => !isProcessAlive(before.pid, before.startTime));
    await until(() => status()?.pid === Number(pid) && status()?.configHash === 'one');
    await stop();
    expect(processStartTime(Number(pid))).toBeUndefined();
  });

  test('when the new one ends, the one before goes on, and the status says why', async () => {
    replace('exit 3');
    await until(() => status()?.refused);
    expect(status()).toMatchObject({
      pid: before.pid,
      configHash: 'zero',
      refused: { configHash: 'one', why: 'it ended 3 times, the last time with exit code 3' },
    });
    expect(isProcessAlive(before.pid, before.startTime)).toBe(true);
    expect(started()).toHaveLength(3);
    // What is started after it is the new one all the same.
    process.kill(before.pid, 'SIGKILL');
    await until(() => started().length > 3 && status()?.configHash === 'one');
    expect(status()?.refused).toBeUndefined();
  });

  test('when the one before ends meanwhile, the new one is the service', async () => {
    replace(SLEEPER);
    const [pid] = (await until(() => started()[0])).split(' ');
    process.kill(before.pid, 'SIGKILL');
    await until(() => status()?.pid === Number(pid) && status()?.configHash === 'one');
  });

  test('one that does not know the argument is started after the one before', async () => {
    replace(`[ "$0" != -take-over ] || exit 2; ${SLEEPER}`);
    await until(() => started().length === 2);
    expect(isProcessAlive(before.pid, before.startTime)).toBe(false);
    await until(() => status()?.configHash === 'one' && running());
  });

  test('where nobody hands over, the one before is ended first', async () => {
    greeting = undefined;
    replace(SLEEPER);
    await until(() => started().length === 1);
    expect(isProcessAlive(before.pid, before.startTime)).toBe(false);
    expect(started()[0]).not.toContain('-take-over');
  });
});

describe('rotateLog()', () => {
  test('keeps the file open for the service, and as many old ones as asked for', () => {
    const log = { path: join(directory, 'service.log'), maxBytes: 10, keep: 2 };
    for (const word of ['first', 'second', 'third']) {
      writeFileSync(log.path, word.repeat(10), { flag: 'a' });
      expect(rotateLog(log)).toBe(true);
    }
    expect(readFileSync(log.path, 'utf8')).toBe('');
    expect(readFileSync(`${log.path}.1`, 'utf8')).toContain('third');
    expect(readFileSync(`${log.path}.2`, 'utf8')).toContain('second');
    expect(existsSync(`${log.path}.3`)).toBe(false);
  });

  test('leaves a small or absent log alone', () => {
    expect(rotateLog({ path: join(directory, 'none.log'), maxBytes: 10, keep: 2 })).toBe(false);
  });
});

describe('restartDelay()', () => {
  test('doubles up to its limit', () => {
    const backoff = { firstMs: 500, maxMs: 30_000, resetMs: 60_000 };
    expect([0, 1, 2, 5, 6, 1_000].map((failures) => restartDelay(backoff, failures))).toEqual([
      500, 1_000, 2_000, 16_000, 30_000, 30_000,
    ]);
  });
});

describe('parseEnvironment()', () => {
  test('reads lines as systemd does, as far as they are used here', () => {
    expect(parseEnvironment('# comment\nA=1\n\n  B=x=y \nnonsense\nC=')).toEqual({ A: '1', B: 'x=y', C: '' });
  });
});
