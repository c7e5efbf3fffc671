/** Commands of the executable that answer and end, without a daemon. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { compileFlanneld } from './support/flanneld-bundle.ts';

jest.setTimeout(120_000);

let program: string;
let directory: string;

beforeAll(() => {
  program = compileFlanneld();
  directory = mkdtempSync(path.join(tmpdir(), 'fltest-commands-'));
});
afterAll(() => {
  rmSync(path.dirname(program), { recursive: true, force: true });
  rmSync(directory, { recursive: true, force: true });
});

const run = (argv: string[], input = '') => {
  const { status, stdout, stderr } = spawnSync(program, argv, { cwd: '/', input, encoding: 'utf8' });
  return { status, stdout, stderr };
};

describe('config check', () => {
  const GOOD = '{"Network":"10.5.0.0/16","Backend":{"Type":"udp"}}';

  test('reads a file, and standard input', () => {
    const file = path.join(directory, 'net-conf.json');
    writeFileSync(file, GOOD);
    const fromFile = run(['config', 'check', file]);
    expect(fromFile).toMatchObject({ status: 0, stderr: '' });
    expect(fromFile.stdout).toMatch('IPv4     10.5.0.0/16: 255 subnets of length 24');
    expect(run(['config', 'check', '-'], GOOD)).toEqual(fromFile);
  });

  test('exits with 1 for a fault and for a file that is not there, with 2 for wrong usage', () => {
    const { status, stdout } = run(['config', 'check', '-'], GOOD.replace('Backend', 'Bakcend'));
    expect(status).toBe(1);
    expect(stdout).toContain('Bakcend: nothing reads this key: did you mean "Backend"?');
    const missing = run(['config', 'check', path.join(directory, 'missing.json')]);
    expect([missing.status, missing.stdout]).toEqual([1, '']);
    expect(missing.stderr).toMatch(/^flanneld: Cannot read the network config: .*ENOENT/);
    expect(run(['config', 'check'])).toMatchObject({
      status: 2,
      stderr: 'flanneld: FILE is missing: write "flanneld config check FILE"\n',
    });
    expect(run(['config']).stderr).toBe('flanneld: Incomplete command: write "flanneld config check FILE"\n');
  });
});

test('completion and man print what a shell and man(1) read', () => {
  const bash = run(['completion', 'bash']);
  expect(bash).toMatchObject({ status: 0, stderr: '' });
  expect(spawnSync('bash', ['-n'], { input: bash.stdout, encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' });
  expect(run(['completion', 'ksh'])).toMatchObject({
    status: 2,
    stderr: 'flanneld: Invalid SHELL "ksh": use one of bash, zsh, fish\n',
  });
  expect(run(['man']).stdout).toMatch(/^\.TH FLANNELD 8 "" "flanneld test"/);
});
