import { spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { PROGRAMS, type Program } from './support/cni-plugin.ts';

const VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'];
const ENV = {
  CNI_COMMAND: 'ADD',
  CNI_CONTAINERID: 'c1',
  CNI_NETNS: '/run/netns/fltest-absent',
  CNI_IFNAME: 'eth0',
  CNI_PATH: '/usr/lib/cni',
};

describe.each(PROGRAMS)('CNI protocol, %s', (_name, make) => {
  let program: Program;
  beforeAll(() => {
    program = make();
  });
  afterAll(() => rmSync(program.directory, { recursive: true, force: true }));

  const run = (env: Record<string, string>, input: string | Buffer = '', options: object = {}) => {
    const [file, ...args] = program.command;
    const child = spawnSync(file!, args, { env: { PATH: process.env.PATH, ...env }, input, ...options });
    const stdout = child.stdout?.toString() ?? '';
    return { code: child.status, stdout, stderr: child.stderr?.toString() ?? '' };
  };
  const refusal = (env: Record<string, string>, input: string | Buffer = '') => {
    const { code, stdout, stderr } = run(env, input);
    expect(code).toBe(1);
    expect(stderr).toBe('');
    return JSON.parse(stdout);
  };
  const conf = (changes: object = {}) =>
    JSON.stringify({ name: 'n', type: 'flannel', cniVersion: '1.0.0', ...changes });

  test('#1 VERSION answers with exactly the supported versions, stdin empty or closed', () => {
    for (const stdio of [undefined, ['ignore', 'pipe', 'pipe']]) {
      const { code, stdout } = run({ CNI_COMMAND: 'VERSION' }, '', stdio === undefined ? {} : { stdio });
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toEqual({ cniVersion: '1.1.0', supportedVersions: VERSIONS });
    }
  });

  test('#1 VERSION does not wait for stdin', async () => {
    const [file, ...args] = program.command;
    const child = spawn(file!, args, { env: { PATH: process.env.PATH, CNI_COMMAND: 'VERSION' }, stdio: 'pipe' });
    const code = await new Promise((resolve) => child.once('exit', resolve));
    child.stdin.end();
    expect(code).toBe(0);
  });

  test('#2 VERSION accepts the dummies of libcni for the other variables', () => {
    const env = { CNI_COMMAND: 'VERSION', CNI_NETNS: 'dummy', CNI_IFNAME: 'dummy', CNI_PATH: 'dummy' };
    expect(run(env).code).toBe(0);
  });

  test('#3 without a command it describes itself on stderr', () => {
    const { code, stdout, stderr } = run({});
    expect(code).toBe(0);
    expect(stdout).toBe('');
    expect(stderr).toContain(`CNI protocol versions supported: ${VERSIONS.join(', ')}\n`);
  });

  test('--version is answered on stdout, and nothing is written to stderr', () => {
    const [file, ...args] = program.command;
    const { status, stdout, stderr } = spawnSync(file!, [...args, '--version'], { env: {}, encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toContain(`CNI protocol versions supported: ${VERSIONS.join(', ')}\n`);
  });

  test.each(['FOO', 'add'])('#4 the command %s is code 4', (command) => {
    expect(refusal({ ...ENV, CNI_COMMAND: command }, conf())).toMatchObject({
      code: 4,
      msg: `unknown CNI_COMMAND: ${command}`,
    });
  });

  test('#5 missing variables are code 4, all named', () => {
    expect(refusal({ CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'c' })).toMatchObject({
      code: 4,
      msg: 'required env variables [CNI_NETNS,CNI_IFNAME,CNI_PATH] missing',
    });
  });

  test.each([
    ['empty', ''],
    ['half', '{'],
    ['a list', '[]'],
    ['garbage', 'x'.repeat(1 << 20)],
    ['brackets', '['.repeat(1 << 20)],
    ['not UTF-8', Buffer.from([0xff, 0xfe, 0x7b])],
  ])('#8 stdin that is %s is code 6', (_what, input) => {
    expect(refusal(ENV, input).code).toBe(6);
  });

  test('#9 a missing or bad name is code 7', () => {
    for (const name of ['', 'a/b', '-a', '..']) expect(refusal(ENV, conf({ name })).code).toBe(7);
    expect(refusal(ENV, 'null').code).toBe(7);
  });

  test.each([
    ['9.9.9', 1],
    ['1.1', 1],
    ['1.0.1', 1],
    [1.0, 6],
  ])('#10 cniVersion %p is code %i', (cniVersion, code) => {
    expect(refusal(ENV, conf({ cniVersion })).code).toBe(code);
  });

  test.each([
    ['CHECK', '0.3.1'],
    ['GC', '1.0.0'],
    ['STATUS', '1.0.0'],
  ])('#12 %s in %s is code 1', (command, cniVersion) => {
    expect(refusal({ ...ENV, CNI_COMMAND: command }, conf({ cniVersion })).code).toBe(1);
  });

  test('#14 stdout is one JSON value whatever the environment and descriptors are', () => {
    const environments = [
      { NODE_OPTIONS: '--trace-warnings' },
      { NODE_DEBUG: 'fs,net,module' },
      { LANG: 'xx_YY.nonsense', LC_ALL: 'xx' },
    ];
    for (const extra of environments) {
      const { code, stdout } = run({ ...ENV, ...extra }, conf());
      expect(code).toBe(1);
      expect(JSON.parse(stdout)).toMatchObject({ code: 8, cniVersion: '1.0.0' });
    }
  });

  test('#14 stdout is one JSON value with stderr closed, and with stdin a file or a slow pipe', () => {
    const file = path.join(program.directory, 'stdin.json');
    writeFileSync(file, conf());
    const quoted = program.command.map((word) => `'${word}'`).join(' ');
    const slow = `while IFS= read -r -n1 c; do printf %s "$c"; done < '${file}'`;
    for (const script of [`${quoted} < '${file}' 2>&-`, `( ${slow} ) | ${quoted}`]) {
      const child = spawnSync('bash', ['-c', script], { env: { PATH: process.env.PATH, ...ENV } });
      expect(JSON.parse(child.stdout.toString())).toMatchObject({ code: 8 });
    }
    const fd = openSync(file, 'r');
    const { stdout } = run(ENV, '', { input: undefined, stdio: [fd, 'pipe', 'pipe'] });
    closeSync(fd);
    expect(JSON.parse(stdout)).toMatchObject({ code: 8 });
  });

  test('#14 it reads nothing in its working directory', () => {
    const cwd = path.join(program.directory);
    writeFileSync(path.join(cwd, '.env'), 'CNI_COMMAND=VERSION\n');
    writeFileSync(path.join(cwd, 'bunfig.toml'), 'preload = ["./evil.ts"]\n');
    writeFileSync(path.join(cwd, 'evil.ts'), 'console.log("evil")\n');
    const { stdout } = run({}, '', { cwd });
    expect(stdout).toBe('');
  });

  test('#15, #16 keys in other case, unknown ones, null members are read as Go reads them', () => {
    const text =
      '{"Name":"n","cniversion":"0.4.0","CNIVERSION":null,"x":1,"capabilities":{"mac":true},"type":"flannel",' +
      '"RuntimeConfig":{"io.kubernetes.cri.pod-annotations":null},"prevResult":{"dns":{}}}';
    expect(refusal(ENV, text)).toMatchObject({ code: 8, cniVersion: '0.4.0' });
  });
});
