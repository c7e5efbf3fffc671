import { Recorder } from './recorder.ts';
import { compactTable, rowsOf } from './table.ts';

function recorded(): Recorder {
  const recorder = new Recorder();
  for (const [series, value] of [
    ['fast', 4],
    ['vxlan', 5],
    ['reference', 0.5],
    ['fast', 6],
    ['vxlan', 5],
    ['fast, no offloads', 1],
  ] as const) {
    recorder.note('TCP', 'Gbit/s', series, value);
  }
  return recorder;
}

test('Recorder gives each series beside each of its peers, as medians', () => {
  const results = recorded().results();
  const compared = results.map(({ name, value, peer, ratio }) => [name, value, peer?.name, ratio]);
  expect(compared).toEqual([
    ['TCP: fast', 5, 'vxlan', 1],
    ['TCP: fast', 5, 'reference', 10],
    ['TCP: vxlan', 5, undefined, undefined],
    ['TCP: reference', 0.5, 'vxlan', 0.1],
    ['TCP: fast, no offloads', 1, 'fast', 0.2],
    ['TCP: fast, no offloads', 1, 'vxlan', 0.2],
  ]);
  expect(results[0]!.runs).toEqual([4, 6]);
});

test('Recorder puts its prefix before each measure', () => {
  const recorder = new Recorder('On Node: ');
  recorder.note('TCP', 'Gbit/s', 'fast', 1);
  expect(recorder.results().map(({ name }) => name)).toEqual(['On Node: TCP: fast']);
});

test('Recorder makes no ratio of percentages', () => {
  const recorder = new Recorder();
  recorder.note('lost', '%', 'vxlan', 0);
  recorder.note('lost', '%', 'fast', 1);
  expect(recorder.results().every(({ peer }) => peer === undefined)).toBe(true);
});

test('rowsOf() has a value for each series once', () => {
  const [row] = rowsOf(recorded().results());
  expect([...row!.values]).toEqual([
    ['fast', 5],
    ['vxlan', 5],
    ['reference', 0.5],
    ['fast, no offloads', 1],
  ]);
});

test('compactTable() has the ratios at the end of the line', () => {
  const [header, line] = compactTable(recorded().results()).split('\n');
  expect(header!.trim().split(/ {2,}/).slice(-2)).toEqual(['fast/vxlan', 'fast/reference']);
  expect(line!.trim().split(/ {2,}/)).toEqual(['TCP', 'Gbit/s', '5', '5', '0.5', '1', '1', '10']);
});
