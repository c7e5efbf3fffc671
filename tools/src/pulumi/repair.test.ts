import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { removeScratch, scratch, write } from '../../testing/setup.ts';
import { repairBackend } from './repair.ts';

afterEach(removeScratch);
beforeEach(() => {
  jest.spyOn(process.stderr, 'write').mockReturnValue(true);
});
afterEach(() => {
  jest.restoreAllMocks();
});

test('repairBackend() removes attributes that were cut off, and leaves others alone', () => {
  const directory = scratch();
  const stacks = join(directory, '.pulumi/stacks/flannel');
  const lock = join(directory, '.pulumi/locks/organization/flannel/mine/1.json');
  write(join(stacks, 'mine.json'), '{"checkpoint":{}}');
  write(join(stacks, 'mine.json.attrs'), '');
  write(join(stacks, 'other.json'), '{"checkpoint":{}}');
  write(join(stacks, 'other.json.attrs'), '{"md5":"x"}');
  write(lock, '{"pid":1}');
  write(`${lock}.attrs`, '{"md');
  repairBackend(directory);
  expect(existsSync(join(stacks, 'mine.json.attrs'))).toBe(false);
  expect(existsSync(`${lock}.attrs`)).toBe(false);
  expect(readFileSync(join(stacks, 'other.json.attrs'), 'utf8')).toBe('{"md5":"x"}');
  expect(readFileSync(join(stacks, 'mine.json'), 'utf8')).toBe('{"checkpoint":{}}');
});

test('repairBackend() uses the previous state where the present one was lost with the power', () => {
  const directory = scratch();
  const file = join(directory, '.pulumi/stacks/flannel/mine.json');
  write(file, '');
  write(`${file}.bak`, '{"checkpoint":{}}');
  repairBackend(directory);
  expect(readFileSync(file, 'utf8')).toBe('{"checkpoint":{}}');
});

test('repairBackend() has nothing to do where nothing was ever kept', () => {
  expect(() => repairBackend(scratch())).not.toThrow();
});
