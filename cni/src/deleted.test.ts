import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Deleted } from './deleted.ts';

describe('Deleted', () => {
  const owner = { containerId: 'c1', ifName: 'eth0' };
  let directory: string;
  let deleted: Deleted;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'fltest-deleted-'));
    deleted = new Deleted(join(directory, 'subnet.env'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  test('has what was noted, of this network and interface only, until it is forgotten', () => {
    expect(deleted.has('n', owner)).toBe(false);
    deleted.note('n', owner);
    expect(deleted.has('n', owner)).toBe(true);
    expect(deleted.has('m', owner)).toBe(false);
    expect(deleted.has('n', { ...owner, ifName: 'net1' })).toBe(false);
    deleted.forget('n', { ...owner, ifName: 'net1' });
    expect(deleted.has('n', owner)).toBe(true);
    deleted.forget('n', owner);
    expect(deleted.has('n', owner)).toBe(false);
  });

  test('grows no further, and its entries age', () => {
    for (let i = 0; i < 5000; i++) deleted.note('n', { containerId: `c${i}`, ifName: 'eth0' });
    expect(statSync(join(directory, 'cni-deleted')).size).toBeLessThanOrEqual(16384);
    deleted.note('n', owner);
    const now = Date.now();
    const clock = jest.spyOn(Date, 'now').mockReturnValue(now + 11 * 60_000);
    expect(deleted.has('n', owner)).toBe(false);
    clock.mockReturnValue(now - 60_000);
    expect(deleted.has('n', owner)).toBe(false);
    clock.mockRestore();
  });

  test('is content without its directory', () => {
    const nowhere = new Deleted(join(directory, 'absent/subnet.env'));
    nowhere.note('n', owner);
    expect(nowhere.has('n', owner)).toBe(false);
  });
});
