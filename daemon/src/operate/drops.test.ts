import { type DropSample, judgeDrops } from './drops.ts';

test('judgeDrops() speaks of many drops within a minute, and forgets them', () => {
  let samples: readonly DropSample[] = [];
  const judge = (at: number, dropped: number) => {
    const judged = judgeDrops(samples, { at, dropped }, 'flannel0');
    samples = judged.samples;
    return judged.note;
  };
  expect(judge(0, 500)).toBeUndefined();
  expect(judge(10_000, 599)).toBeUndefined();
  expect(judge(20_000, 600)).toContain('device flannel0 dropped 100 packets in the last minute');
  expect(judge(90_000, 600)).toBeUndefined();
  // A device that was made again counts from 0.
  expect(judge(95_000, 3)).toBeUndefined();
});
