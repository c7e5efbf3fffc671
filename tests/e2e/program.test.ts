/** The Pulumi program as a plain `pulumi` runs it, which nobody has built before. */
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pulumiPath } from '../aws/support/project.ts';
import { finish, REPOSITORY, start } from './support.ts';

jest.setTimeout(600_000);

const directory = mkdtempSync(join(tmpdir(), 'flannel-program-'));
const infra = join(directory, 'infra');

beforeAll(async () => {
  const dist = join(REPOSITORY, 'infra', 'dist');
  cpSync(join(REPOSITORY, 'infra'), infra, { recursive: true, filter: (path) => path !== dist });
  cpSync(join(REPOSITORY, 'Pulumi.yaml'), join(directory, 'Pulumi.yaml'));
  for (const linked of ['node_modules', 'dist']) symlinkSync(join(REPOSITORY, linked), join(directory, linked));
  for (const made of ['stacks', 'state']) mkdirSync(join(directory, made));
  expect((await pulumi('stack', 'init', 'program', '--no-select')).code).toBe(0);
});

afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

async function pulumi(...args: string[]) {
  const env = {
    PATH: await pulumiPath(),
    HOME: directory,
    PULUMI_HOME: join(directory, 'home'),
    PULUMI_BACKEND_URL: `file://${join(directory, 'state')}`,
    PULUMI_CONFIG_PASSPHRASE: 'x',
    PULUMI_SKIP_UPDATE_CHECK: 'true',
    PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: 'true',
  };
  return finish(start(['pulumi', '-C', directory, '--non-interactive', ...args], { env }));
}

test('is built when it is needed, and again when a source has changed', async () => {
  const first = await pulumi('preview', '--stack', 'program');
  expect([first.code, first.stdout]).toEqual([0, expect.stringMatching(/\d+ to create/)]);
  appendFileSync(join(infra, 'settings.ts'), "\nthrow new Error('the new source runs');\n");
  const second = await pulumi('preview', '--stack', 'program');
  expect(second.code).not.toBe(0);
  expect(second.stdout + second.stderr).toContain('the new source runs');
});

test('refuses a setting that nobody reads, as "npm run up" does', async () => {
  rmSync(infra, { recursive: true });
  symlinkSync(join(REPOSITORY, 'infra'), infra);
  expect((await pulumi('config', 'set', 'nodez', '3', '--stack', 'program')).code).toBe(0);
  const { code, stdout, stderr } = await pulumi('preview', '--stack', 'program');
  expect(code).not.toBe(0);
  expect(stdout + stderr).toContain('There is no setting "nodez": did you mean "nodes"?');
});
