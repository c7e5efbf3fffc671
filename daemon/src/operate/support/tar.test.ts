import { execFileSync } from 'node:child_process';
import { tarOf } from './tar.ts';

const files = [
  { name: 'empty.txt', text: '' },
  { name: 'block.txt', text: 'x'.repeat(512) },
  { name: 'umlaut.txt', text: 'für\n' },
];
const tar = (input: Buffer, ...flags: string[]) =>
  execFileSync('tar', flags, { input, encoding: 'utf8', env: { TZ: 'UTC' } });

test('tar(1) lists and unpacks it', () => {
  const archive = tarOf('support', files, Date.UTC(2026, 0, 2, 3, 4, 5) / 1000);
  const lines = tar(archive, '-tv', '--full-time', '-f', '-').trim().split('\n');
  expect(lines.map((line) => line.replace(/ +/g, ' '))).toEqual([
    '-rw------- 0/0 0 2026-01-02 03:04:05 support/empty.txt',
    '-rw------- 0/0 512 2026-01-02 03:04:05 support/block.txt',
    '-rw------- 0/0 5 2026-01-02 03:04:05 support/umlaut.txt',
  ]);
  expect(tar(archive, '-xOf', '-', 'support/umlaut.txt')).toBe('für\n');
});

test('a name that does not fit is refused', () => {
  expect(() => tarOf('support', [{ name: 'x'.repeat(100), text: '' }], 0)).toThrow('too long');
});
