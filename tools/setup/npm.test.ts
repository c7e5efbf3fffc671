import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { program, removeScratch, scratch, write } from '../testing/setup.ts';
import { describeDifference, planBun, planNpm } from './npm.mjs';

afterEach(removeScratch);

interface Entry {
  version?: string;
  integrity?: string;
  optional?: boolean;
}

function checkout(wanted: Record<string, Entry>, installed?: Record<string, Entry>): string {
  const root = scratch();
  write(join(root, 'package-lock.json'), JSON.stringify({ packages: wanted }));
  if (installed) write(join(root, 'node_modules/.package-lock.json'), JSON.stringify({ packages: installed }));
  return root;
}

const A = { 'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' } };

test('describeDifference() is undefined when all that is wanted is installed', () => {
  const wanted = { '': { version: '0.1.0' }, 'packages/inet': { version: '0.1.0' }, ...A };
  expect(describeDifference(checkout(wanted, A))).toBeUndefined();
});

test('describeDifference() does not miss a package for another platform', () => {
  const wanted = { ...A, 'node_modules/@oven/bun-darwin-x64': { version: '1.0.0', optional: true } };
  expect(describeDifference(checkout(wanted, A))).toBeUndefined();
});

test('describeDifference() names what is missing or of another version', () => {
  expect(describeDifference(checkout({ ...A, 'node_modules/@x/b': { version: '2.0.0' } }, A))).toBe('@x/b is missing');
  const old = { 'node_modules/a': { version: '0.9.0', integrity: 'sha512-o' } };
  expect(describeDifference(checkout(A, old))).toBe('a is 0.9.0, 1.0.0 is wanted');
});

test('describeDifference() sees a fresh clone and a checkout without a lock', () => {
  expect(describeDifference(checkout(A))).toBe('nothing is installed yet');
  expect(describeDifference(scratch())).toBe('package-lock.json is missing');
});

test('planNpm() plans nothing when nothing differs', () => {
  expect(planNpm({ root: checkout(A, A), cache: '', env: {} })).toBeUndefined();
  expect(planNpm({ root: checkout(A), cache: '', env: {} })?.what).toContain('nothing is installed yet');
});

test('planNpm() goes on where an install was cut off, though all that npm records is there', async () => {
  const root = checkout(A, A);
  const mark = write(join(root, 'node_modules.unfinished'), '');
  program(join(root, 'bin', 'npm'), 'exit 1');
  const context = { root, cache: '', env: { PATH: `${join(root, 'bin')}:${process.env.PATH}` } };
  expect(planNpm(context)?.what).toContain('the last install was cut off');
  await expect(planNpm(context)?.apply()).rejects.toThrow('npm ci');
  expect(existsSync(mark)).toBe(true);
  program(join(root, 'bin', 'npm'), 'test -e node_modules.unfinished');
  await planNpm(context)?.apply();
  expect(planNpm(context)).toBeUndefined();
});

test('planBun() distinguishes the program from a text in its place', () => {
  const root = scratch();
  write(join(root, 'node_modules/bun/bin/bun.exe'), "The 'bun.exe' file is a placeholder for the binary file");
  expect(planBun({ root, cache: '', env: {} })).toBeDefined();
  write(join(root, 'node_modules/bun/bin/bun.exe'), 'x'.repeat(2_000_000));
  expect(planBun({ root, cache: '', env: {} })).toBeUndefined();
});
