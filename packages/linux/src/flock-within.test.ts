import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { closeFd, type Fd, flock, LOCK_EX, LOCK_UN, O_CREAT, O_RDWR, openFile } from './files.ts';
import { flockWithin } from './flock-within.ts';

describe('flockWithin()', () => {
  let directory: string;
  let fds: Fd[];
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'fltest-flock-'));
    fds = [1, 2].map(() => openFile(join(directory, 'lock'), O_RDWR | O_CREAT, 0o600));
  });
  afterEach(() => {
    for (const fd of fds) closeFd(fd);
    rmSync(directory, { recursive: true });
  });

  test('gets a lock that is free, and one that is held not before its time is over', () => {
    expect(flockWithin(fds[0]!, LOCK_EX, 0)).toBe(true);
    // 999.7 ms are no 999 ms and 1,000,000 us, which the kernel refuses.
    for (const ms of [20, 999.7]) {
      const start = performance.now();
      expect(flockWithin(fds[1]!, LOCK_EX, ms)).toBe(false);
      expect(performance.now() - start).toBeGreaterThanOrEqual(ms - 1);
    }
    flock(fds[0]!, LOCK_UN);
    expect(flockWithin(fds[1]!, LOCK_EX, 20)).toBe(true);
  });

  test('throws what is no lock', () => {
    expect(() => flockWithin(-1, LOCK_EX, 20)).toThrow(expect.objectContaining({ code: 'EBADF' }));
  });
});
