import { summarize } from '../result.ts';
import { compareSetters, settersTable } from './alike.ts';

const results = [
  summarize('Backends: vxlan, TCP: by flanneld', 'Gbit/s', [6, 7, 8]),
  summarize('Backends: vxlan, TCP: by flannel', 'Gbit/s', [7.5, 9, 10]),
  summarize('Backends: vxlan, TCP: by hand', 'Gbit/s', [3, 5, 4]),
  summarize('TCP, 1 stream: fast', 'Gbit/s', [1, 2]),
];

test('compareSetters() says whose rounds have nothing in common with ours, and leaves out what is no way to set up a path', () => {
  expect(compareSetters(results)).toMatchObject([{ measure: 'Backends: vxlan, TCP', apart: ['by hand'] }]);
  expect(compareSetters(results.slice(0, 2))).toMatchObject([{ apart: [] }]);
});

test('settersTable() has the median of each and from which round to which', () => {
  expect(settersTable(results).split('\n').at(-1)).toBe(
    '| vxlan, TCP, Gbit/s | 7 (6 to 8) | 9 (7.5 to 10) | 4 (3 to 5) | **no: set up by commands** |',
  );
});
