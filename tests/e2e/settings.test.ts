/** Settings: wrong ones are refused before Pulumi starts and never stored, and lost ones never scale a stack down. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pulumiPath } from '../aws/support/project.ts';
import { cli, cliOk, leftovers, outputs, REPOSITORY, run, stackName } from './support.ts';

jest.setTimeout(600_000);

const fileOf = (stack: string) => join(REPOSITORY, 'stacks', `Pulumi.${stack}.yaml`);

describe('a wrong setting', () => {
  const cache = mkdtempSync(join(tmpdir(), 'flannel-cache-'));
  const stack = stackName('wrong');

  afterAll(() => {
    rmSync(cache, { recursive: true, force: true });
    rmSync(fileOf(stack), { force: true });
  });

  /** In a cache where neither Pulumi nor a state could be: whoever needed them would have to put them there. */
  const up = (...args: string[]) =>
    run(['node', 'tools/run.mjs', 'up', '--stack', stack, ...args], { FLANNEL_CACHE: cache });

  test.each([
    [['--config', 'nodes=three'], 'nodes is "three": set a whole number from 1 to 250'],
    [['--config', 'nodez=3'], 'There is no setting "nodez": did you mean "nodes"?'],
    [['--config', 'backend.Prot=1'], 'There is no setting "backend.Prot" for type udp: did you mean "Port"?'],
    [['--config', 'podCidr=10.64.8.0/22'], 'Pod CIDR 10.64.8.0/22 overlaps VPC CIDR 10.64.0.0/19'],
  ])('%j is one sentence, before anything is prepared', async (args, sentence) => {
    const { code, stdout, stderr } = await up(...args);
    expect([code, stdout, stderr]).toEqual([2, '', expect.stringContaining(sentence)]);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(readdirSync(cache)).toEqual([]);
    expect(leftovers(stack)).toEqual([]);
  });

  test('that is stored is named with the way out', async () => {
    writeFileSync(fileOf(stack), 'config:\n  flannel:nodez: "3"\n');
    const { code, stderr } = await up();
    expect([code, stderr.trim()]).toEqual([
      1,
      `There is no setting "nodez": did you mean "nodes"?; it is stored in stacks/Pulumi.${stack}.yaml, "npm run up -- --stack ${stack} --unset nodez" removes it from there`,
    ]);
  });
});

describe('a stack of two nodes whose settings change in the checkout', () => {
  const stack = stackName('moved');
  let stored: string;

  beforeAll(async () => {
    writeFileSync(fileOf(stack), 'config:\n  flannel:nodez: "3"\n');
    await cliOk('up', '--stack', stack, '--nodes', '2', '--pods', '1', '--unset', 'nodez');
    stored = readFileSync(fileOf(stack), 'utf8');
  });

  afterAll(async () => {
    await cliOk('down', '--stack', stack);
    expect(leftovers(stack)).toEqual([]);
  });

  test('the stored mistake has gone', () => {
    expect(stored).toMatch(/nodes: "2"/);
    expect(stored).not.toMatch(/nodez/);
  });

  test('a wrong setting is not stored', async () => {
    expect((await cli('up', '--stack', stack, '--config', 'nodes=three')).code).toBe(2);
    expect(readFileSync(fileOf(stack), 'utf8')).toBe(stored);
  });

  test('fewer nodes in the file are asked about, and nothing is changed without an answer', async () => {
    writeFileSync(fileOf(stack), stored.replace('nodes: "2"', 'nodes: "1"'));
    const { code, stderr } = await cli('up', '--stack', stack);
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining(
        `"up" would remove, replace or interrupt parts of stack "${stack}": nodes is 2 as deployed and 1 in the settings. There is no terminal to ask: "npm run up -- --stack ${stack} --config nodes=2" keeps what is deployed, --yes accepts the loss`,
      ),
    ]);
    expect((await outputs(stack)).nodes).toHaveLength(2);
  });

  test('another backend in the file is asked about, too', async () => {
    writeFileSync(
      fileOf(stack),
      stored.replace('config:\n', 'config:\n  flannel:backend:\n    Type: udp\n    Port: 8299\n'),
    );
    const { code, stderr } = await cli('up', '--stack', stack);
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining(
        `backend is {"Type":"udp","Port":8285} as deployed and {"Type":"udp","Port":8299} in the settings. There is no terminal to ask: "npm run up -- --stack ${stack} --config 'backend={"Type":"udp","Port":8285}'" keeps`,
      ),
    ]);
  });

  test('a checkout without the file keeps what is deployed', async () => {
    rmSync(fileOf(stack));
    const { stdout, stderr } = await cliOk('up', '--stack', stack);
    expect(stderr).toContain('those of the deployed stack are kept: nodes=2, podsPerNode=1');
    expect(stderr).toMatch(/^\d+ unchanged/m);
    expect(stdout).not.toContain('node-2');
    expect((await outputs(stack)).nodes).toHaveLength(2);
  });

  test('an up that changes nothing leaves the file as it is, and says little', async () => {
    const before = readFileSync(fileOf(stack), 'utf8');
    const { stdout, stderr } = await cliOk('up', '--stack', stack);
    expect(readFileSync(fileOf(stack), 'utf8')).toBe(before);
    expect((stdout + stderr).split('\n').length).toBeLessThan(20);
  });
});

test.each(['dev', 'ci', 'prod'])(
  'the committed settings of %s get a salt from Pulumi, and are else left alone',
  async (stack) => {
    const directory = mkdtempSync(join(tmpdir(), 'flannel-settings-'));
    try {
      cpSync(join(REPOSITORY, 'Pulumi.yaml'), join(directory, 'Pulumi.yaml'));
      cpSync(fileOf(stack), join(directory, 'stacks', `Pulumi.${stack}.yaml`));
      mkdirSync(join(directory, 'state'));
      const result = spawnSync('pulumi', ['stack', 'init', stack, '--no-select', '--non-interactive'], {
        cwd: directory,
        encoding: 'utf8',
        env: {
          PATH: await pulumiPath(),
          HOME: directory,
          PULUMI_BACKEND_URL: `file://${join(directory, 'state')}`,
          PULUMI_CONFIG_PASSPHRASE: 'x',
          PULUMI_SKIP_UPDATE_CHECK: 'true',
        },
      });
      expect([result.status, result.stderr]).toEqual([0, `Created stack '${stack}'\n`]);
      const written = readFileSync(join(directory, 'stacks', `Pulumi.${stack}.yaml`), 'utf8');
      expect(written.replace(/^encryptionsalt: .*\n/m, '')).toBe(readFileSync(fileOf(stack), 'utf8'));
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
);
