import { formatBytes, formatDuration } from './units.ts';

test.each([
  [0.44, '0.4 s'],
  [42.4, '42 s'],
  [119, '119 s'],
  [300, '5 min'],
  [7200, '2 h'],
  [7500, '2 h 5 min'],
  [3 * 86_400 + 4 * 3600, '3 d 4 h'],
])('%d seconds are %s', (seconds, text) => expect(formatDuration(seconds)).toBe(text));

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [1500, '1.5 kB'],
  [9_960, '10 kB'],
  [999_600, '1.0 MB'],
  [23.4e6, '23 MB'],
  [7.7e9, '7.7 GB'],
])('%d bytes are %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text));
