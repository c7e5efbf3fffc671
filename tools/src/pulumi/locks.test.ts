import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { removeScratch, scratch, write } from '../../testing/setup.ts';
import { isHeld, type Lock, readLocks } from './locks.ts';

let child: ChildProcess;

/** A live process of the name "pulumi". */
beforeAll(async () => {
  const program = join(scratch(), 'pulumi');
  copyFileSync('/bin/sleep', program);
  child = spawn(program, ['60'], { stdio: 'ignore' });
  await new Promise((resolve) => child.once('spawn', resolve));
});

afterAll(() => {
  child.kill('SIGKILL');
  removeScratch();
});

function lock(changes: Partial<Lock> = {}): Lock {
  return { pid: child.pid!, hostname: hostname(), username: 'root', timestamp: new Date().toISOString(), ...changes };
}

test('isHeld() is true for a Pulumi that lives', () => {
  expect(isHeld(lock())).toBe(true);
});

test('isHeld() is false for a process that has ended, and for one that is no Pulumi', () => {
  expect(isHeld(lock({ pid: 4_194_304 }))).toBe(false); // above the kernel's limit
  expect(isHeld(lock({ pid: process.pid }))).toBe(false);
});

test('isHeld() is false for a process that was started after the lock was taken', () => {
  expect(isHeld(lock({ timestamp: new Date(Date.now() - 3_600_000).toISOString() }))).toBe(false);
});

test('isHeld() is true for what cannot be looked at from here', () => {
  expect(isHeld(lock({ hostname: 'elsewhere', pid: 4_194_304 }))).toBe(true);
});

test('readLocks() reads the locks of one stack, and none where there are none', () => {
  const directory = scratch();
  const place = join(directory, '.pulumi/locks/organization/flannel');
  write(join(place, 'one/a.json'), JSON.stringify(lock({ pid: 7 })));
  write(join(place, 'two/b.json'), JSON.stringify(lock({ pid: 8 })));
  write(join(place, 'one/c.json'), 'half a lo');
  expect(readLocks(directory, 'one').map(({ pid }) => pid)).toEqual([7]);
  expect(readLocks(directory, 'three')).toEqual([]);
});
