import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { retrying } from './etcdctl.ts';
import { INTERRUPTED } from './interrupt.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'flannel-interrupt-'));
  process.env[INTERRUPTED] = join(directory, 'interrupted');
});
afterEach(() => {
  delete process.env[INTERRUPTED];
  rmSync(directory, { recursive: true });
});

test('retrying() ends once the command was interrupted, with what it waited for', async () => {
  let tries = 0;
  const work = retrying(async () => {
    if (++tries === 3) writeFileSync(process.env[INTERRUPTED]!, '');
    throw new Error('no leader');
  }, 600_000);
  await expect(work).rejects.toMatchObject({ code: 'INTERRUPTED', message: expect.stringContaining('no leader') });
  expect(tries).toBe(3);
});

test('retrying() goes on until it works, and not for longer than its time', async () => {
  let tries = 0;
  const attempt = async () => {
    if (++tries < 3) throw new Error('no leader');
    return tries;
  };
  expect(await retrying(attempt, 600_000)).toBe(3);
  await expect(retrying(() => Promise.reject(new Error('no leader')), 0)).rejects.toThrow('no leader');
});
