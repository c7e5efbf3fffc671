import { formatTable, wrap } from './layout.ts';

test('wrap() breaks at spaces, and leaves a long word whole', () => {
  expect(wrap('one two three', 9, '  ')).toBe('  one two\n  three');
  expect(wrap('a 2001:db8:1234:5678::/64 b', 10)).toBe('a\n2001:db8:1234:5678::/64\nb');
  expect(wrap('', 10)).toBe('');
});

describe('formatTable()', () => {
  const columns = [
    { title: 'PEER' },
    { title: 'ANSWERED' },
    { title: 'SENT', align: 'right', leaveOut: 1 },
    { title: 'RECEIVED', align: 'right', leaveOut: 2 },
  ] as const;
  const rows = [
    ['10.64.0.17', '2 s ago', '1.5 kB', '0 B'],
    ['10.64.0.18', 'never', '0 B', '0 B'],
  ];

  test('aligns columns, and leaves no blanks at the end of a line', () => {
    expect(formatTable(columns, rows, 80).split('\n')).toEqual([
      'PEER        ANSWERED    SENT  RECEIVED',
      '10.64.0.17  2 s ago   1.5 kB       0 B',
      '10.64.0.18  never        0 B       0 B',
    ]);
  });

  test('leaves out columns, the highest number first, until it fits', () => {
    expect(formatTable(columns, rows, 30).split('\n')[0]).toBe('PEER        ANSWERED    SENT');
    expect(formatTable(columns, rows, 25).split('\n')[0]).toBe('PEER        ANSWERED');
  });

  test('becomes a block for each row where even that is too wide', () => {
    expect(formatTable(columns, rows, 19).split('\n').slice(0, 6)).toEqual([
      'PEER      10.64.0.17',
      'ANSWERED  2 s ago',
      'SENT      1.5 kB',
      'RECEIVED  0 B',
      '',
      'PEER      10.64.0.18',
    ]);
  });

  test('without rows is its heading', () => expect(formatTable(columns, [], 80)).toContain('PEER'));
});
