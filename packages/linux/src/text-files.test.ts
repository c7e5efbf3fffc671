import { linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { closeFd, O_CREAT, O_EXCL, O_RDONLY, O_TRUNC, openFile } from './files.ts';
import {
  isDirectory,
  makeDirectory,
  readTextFile,
  sameFile,
  statFile,
  unlinkFile,
  writeTextFile,
} from './text-files.ts';

describe('text files', () => {
  let directory: string;
  const file = (name: string): string => join(directory, name);
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'fltest-text-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  test.each([0, 1, 4095, 4096, 4097, 100_000])('readTextFile() reads all %i bytes', (length) => {
    writeFileSync(file('a'), 'x'.repeat(length));
    expect(readTextFile(file('a'))).toHaveLength(length);
  });

  test('readTextFile() reads what has no size, and UTF-8', () => {
    expect(readTextFile('/proc/self/stat')).toContain('(');
    writeFileSync(file('a'), 'höst');
    expect(readTextFile(file('a'))).toBe('höst');
  });

  test('writeTextFile() follows its flags and mode', () => {
    writeTextFile(file('a'), 'long text', O_CREAT | O_EXCL, 0o600);
    expect(() => writeTextFile(file('a'), 'b', O_CREAT | O_EXCL)).toThrow(expect.objectContaining({ code: 'EEXIST' }));
    writeTextFile(file('a'), 'short', O_TRUNC);
    expect(readFileSync(file('a'), 'utf8')).toBe('short');
    expect(statSync(file('a')).mode & 0o777).toBe(0o600);
  });

  test('unlinkFile() and makeDirectory() fail as node:fs does', () => {
    expect(() => unlinkFile(file('a'))).toThrow(expect.objectContaining({ code: 'ENOENT', syscall: 'unlink' }));
    makeDirectory(file('d'), 0o700);
    expect(statSync(file('d')).mode & 0o777).toBe(0o700);
    expect(() => makeDirectory(file('d'), 0o700)).toThrow(expect.objectContaining({ code: 'EEXIST' }));
  });

  test('statFile() sees one file under two names and by descriptor', () => {
    writeFileSync(file('a'), 'abc');
    linkSync(file('a'), file('b'));
    symlinkSync(file('a'), file('c'));
    writeFileSync(file('other'), 'abc');
    mkdirSync(file('d'));
    const fd = openFile(file('a'), O_RDONLY);
    try {
      const status = statFile(fd);
      expect(status.size).toBe(3n);
      expect(isDirectory(status)).toBe(false);
      for (const name of ['a', 'b', 'c']) expect(sameFile(status, statFile(file(name)))).toBe(true);
      expect(sameFile(status, statFile(file('other')))).toBe(false);
      expect(isDirectory(statFile(file('d')))).toBe(true);
      expect(status.inode).toBe(statSync(file('a'), { bigint: true }).ino);
    } finally {
      closeFd(fd);
    }
  });
});
