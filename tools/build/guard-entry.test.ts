import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { guardEntry } from './guard-entry.ts';

const TEXTS = { version: 'the versions\n', lost: 'it is lost' };

describe('guardEntry()', () => {
  let directory: string;
  const guard = (program: string): string => {
    const file = path.join(directory, path.basename(program));
    writeFileSync(file, guardEntry(readFileSync(program), TEXTS));
    chmodSync(file, 0o755);
    return file;
  };
  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'fltest-guard-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  test('changes the first letter of each name before the program starts', () => {
    const env = { BUN_OPTIONS: 'x', _: '1', lower: '2', '\x02UN_BE_BUN': '1', '9': 'y' };
    const { stdout, status } = spawnSync(guard('/usr/bin/env'), [], { env, encoding: 'utf8' });
    expect(status).toBe(0);
    expect(stdout.split('\n').sort()).toEqual(['', '', '', '\x02UN_OPTIONS=x', '\x1f=1', ',ower=2']);
  });

  test('answers VERSION, and nothing else by itself', () => {
    const file = guard('/usr/bin/cat');
    const run = (CNI_COMMAND: string) => spawnSync(file, [], { env: { CNI_COMMAND }, input: 'in', encoding: 'utf8' });
    expect(run('VERSION').stdout).toBe(TEXTS.version);
    for (const other of ['', 'VERSIO', 'VERSIONS', 'ADD']) expect(run(other).stdout).toBe('in');
  });

  test('lets nothing start that could tell nobody', () => {
    const file = guard('/usr/bin/true');
    expect(spawnSync(file).status).toBe(0);
    expect(spawnSync('sh', ['-c', `'${file}' >&-`]).status).toBe(1);
  });

  test('refuses what is no executable', () => {
    expect(() => guardEntry(new Uint8Array(64), TEXTS)).toThrow('not a 64-bit ELF executable');
  });
});
