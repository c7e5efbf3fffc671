import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { removeScratch, scratch } from '../testing/setup.ts';
import { withLock } from './lock.mjs';

afterEach(removeScratch);

test('withLock() lets one in at a time', async () => {
  const file = join(scratch(), 'new', 'lock');
  let inside = 0;
  let most = 0;
  const work = async () => {
    most = Math.max(most, ++inside);
    await sleep(20);
    inside--;
  };
  await Promise.all([1, 2, 3].map(() => withLock(file, 'a test', work)));
  expect([most, inside]).toEqual([1, 0]);
});

test('withLock() gives back what the work gives, and the lock when it fails', async () => {
  const file = join(scratch(), 'lock');
  await expect(withLock(file, 'a test', () => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
  expect(await withLock(file, 'a test', async () => 7)).toBe(7);
});

test('withLock() is not held up by a process that was killed with the lock', async () => {
  const file = join(scratch(), 'lock');
  const script = `import(${JSON.stringify(join(__dirname, 'lock.mjs'))}).then(({ withLock }) =>
    withLock(${JSON.stringify(file)}, 'a test', async () => { console.log('in'); await new Promise((r) => setTimeout(r, 60000)); }))`;
  const other = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve) => other.stdout.once('data', resolve));
  other.kill('SIGKILL');
  expect(await withLock(file, 'a test', async () => 'free')).toBe('free');
});
