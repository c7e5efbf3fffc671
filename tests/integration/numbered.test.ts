import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { judge, type NumberedOptions, type Place, startNumbered } from './support/numbered.ts';

jest.setTimeout(60_000);

test('judge() counts what is lost, what comes twice and what comes after a later one', () => {
  const sentAt = [10, 20, 30, 40, 50];
  expect(judge(sentAt, [0, 1, 2, 3, 4])).toEqual({ sent: 5, lost: [], duplicates: 0, late: 0 });
  expect(judge(sentAt, [0, 2, 1, 2, 4])).toEqual({ sent: 5, lost: [40], duplicates: 1, late: 1 });
  expect(judge(sentAt, [])).toEqual({ sent: 5, lost: sentAt, duplicates: 0, late: 0 });
});

describe('startNumbered()', () => {
  const name = `fltest-${process.pid}-numbered`;
  const inside = (...command: string[]) =>
    execFileSync('nsenter', [`--net=/run/netns/${name}`, ...command], { encoding: 'utf8' });
  const place = (address: string): Place => ({ netns: `/run/netns/${name}`, address });
  const pidOf = (address: string) => {
    const pids = execFileSync('ip', ['netns', 'pids', name], { encoding: 'utf8' }).trim().split('\n');
    const isIt = (pid: string) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`numbered.mjs\0${address}\0`);
    return Number(pids.find(isIt));
  };
  const start = (options: NumberedOptions = {}) => startNumbered(place('127.0.0.1'), place('127.0.0.2'), options);

  beforeAll(() => {
    execFileSync('ip', ['netns', 'add', name]);
    inside('ip', 'link', 'set', 'lo', 'up');
  });
  afterAll(() => void execFileSync('ip', ['netns', 'delete', name]));

  test.each(['127.0.0.1', '127.0.0.2'])('a processor that has no time for %s in the end loses nothing', async (end) => {
    const stop = await start({ settleMs: 300 });
    await sleep(200);
    const pid = pidOf(end);
    process.kill(pid, 'SIGSTOP');
    const journeys = stop();
    await sleep(1000);
    process.kill(pid, 'SIGCONT');
    expect((await journeys).map(({ lost }) => lost)).toEqual([[], []]);
  });

  test('what was lost is counted, also when some were lost in the end', async () => {
    const stop = await start({ flows: 2, greet: true, settleMs: 300 });
    await sleep(300);
    const drop = 'type filter hook input priority 0; ip saddr 127.0.0.1 udp dport 7101 @th,64,32 & 1 == 1 drop';
    inside('nft', `table ip fltest { chain input { ${drop}; }; }`);
    await sleep(300);
    const journeys = await stop();
    inside('nft', 'delete table ip fltest');
    for (const { sent } of journeys) expect(sent).toBeGreaterThan(10);
    expect(journeys.map(({ lost }) => lost.length > 5)).toEqual([false, true, false, false]);
  });

  test('a way that stays cut off has an end', async () => {
    const stop = await start();
    inside('ip', 'link', 'set', 'lo', 'down');
    const journeys = await stop();
    inside('ip', 'link', 'set', 'lo', 'up');
    expect(journeys).toHaveLength(2);
  });

  test('an end that cannot listen says why', async () => {
    await expect(startNumbered(place('127.0.0.1'), place('10.99.99.99'))).rejects.toThrow('EADDRNOTAVAIL');
    expect(execFileSync('ip', ['netns', 'pids', name], { encoding: 'utf8' })).toBe('');
  });
});
