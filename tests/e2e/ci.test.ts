/** Environments for one run: they are there for the tests, and gone after them, however they end. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CHECK_SETTINGS, type CheckResult, failures, POD_CHECKS } from '../../tools/ci/conformance/checks.ts';
import { ciStackName } from '../../tools/ci/names.ts';
import type { Report } from '../../tools/ci/report.ts';
import {
  finish,
  leftovers,
  netns,
  type Outputs,
  processesIn,
  REPOSITORY,
  type Result,
  run,
  start,
  until,
} from './support.ts';

jest.setTimeout(600_000);

const directory = mkdtempSync(join(tmpdir(), 'flannel-ci-'));
const PROBE = join(REPOSITORY, 'tools', 'ci', 'conformance', 'probe.mjs');
const stateDirectory = join(directory, '.pulumi', 'stacks', 'flannel');
/** A backend of its own: the janitor must find no other test's stacks. */
const env = { PULUMI_BACKEND_URL: `file://${directory}`, PULUMI_HOME: join(directory, 'home') };
const commit = 'c0ffee';
const branches = { passes: '', keeps: '', fails: '', ends: '', dies: '' };
for (const topic of Object.keys(branches) as (keyof typeof branches)[]) branches[topic] = `e2e/${process.pid}-${topic}`;

const stackOf = (branch: string) => ciStackName({ branch, commit, environment: 'local' });
const small = ['--config', 'nodes=2', '--config', 'podsPerNode=1', '--commit', commit];
const command = (...args: string[]) => ['node', 'tools/run.mjs', ...args];
const ephemeral = (branch: string, ...args: string[]) => command('ephemeral', '--branch', branch, ...small, ...args);
const tools = (...args: string[]): Promise<Result> => run(command(...args), env);

/** The names of the stacks that the backend knows. */
function stacks(): string[] {
  try {
    return readdirSync(stateDirectory).flatMap((name) => /^(.*)\.json$/.exec(name)?.[1] ?? []);
  } catch {
    return []; // the first one is still to be made
  }
}

function expectGone(branch: string): void {
  expect(leftovers(stackOf(branch))).toEqual([]);
  expect(stacks()).not.toContain(stackOf(branch));
}

/** Starts a run, and gives it back when its first node boots. */
async function startUntilNode(branch: string) {
  const child = start(ephemeral(branch), { env });
  const outcome = finish(child);
  let said = '';
  await new Promise<void>((resolve) => {
    child.stdout!.on('data', (chunk: Buffer) => {
      said += chunk;
      if (/NodeSoftware node-0/.test(said)) resolve();
    });
    child.once('close', () => resolve());
  });
  expect(processesIn(netns(stackOf(branch), 'etcd-0')).length).toBeGreaterThan(0);
  return { child, outcome };
}

afterAll(async () => {
  for (const branch of Object.values(branches)) {
    if (leftovers(stackOf(branch)).length > 0) await tools('down', '--stack', stackOf(branch));
  }
  rmSync(directory, { recursive: true, force: true });
});

describe('two branches at the same time', () => {
  const [passing, kept] = [stackOf(branches.passes), stackOf(branches.keeps)];
  const file = join(directory, 'report.json');
  let results: readonly [Result, Result];

  beforeAll(async () => {
    const shown = 'echo "tested $FLANNEL_STACK with $(echo "$FLANNEL_STACK_OUTPUTS" | grep -c pod-1-0)"';
    results = await Promise.all([
      run(ephemeral(branches.passes, '--report', file, '--', 'sh', '-c', shown), env),
      run(ephemeral(branches.keeps, '--keep-on-failure', '--', 'sh', '-c', 'exit 7'), env),
    ]);
  });

  test('the one that passes has been tested through and through, and is gone', () => {
    const [{ code, stdout, stderr }] = results;
    expect([code, stderr]).toEqual([0, expect.stringContaining('passed; the stack')]);
    expect(stdout).toContain(`tested ${passing} with 1`);
    expect(stdout + stderr).not.toContain('PRIVATE KEY');
    const report = JSON.parse(readFileSync(file, 'utf8')) as Report;
    expect(report).toMatchObject({ stack: passing, outcome: 'passed', removed: true, commit });
    expect(report.phases.map(({ name }) => name)).toEqual([
      'build',
      'stack',
      'up',
      'unchanged',
      'conformance',
      'command',
      'destroy',
    ]);
    // Two pods, seven checks each; and each of them once to the other's node.
    expect(report.checks).toHaveLength(16);
    expect(report.checks.filter(({ problem }) => problem !== undefined)).toEqual([]);
    expectGone(branches.passes);
  });

  test('the one that fails is kept to be looked at, and can be tested again', async () => {
    const [, { code, stderr }] = results;
    expect([code, stderr]).toEqual([1, expect.stringMatching(/command: failed .*ended with 7/)]);
    expect(stacks()).toContain(kept);
    const again = await tools('conformance', '--stack', kept);
    expect([again.code, again.stdout]).toEqual([0, expect.stringMatching(/masquerade +2 of 2/)]);
  });

  test('the probe makes a pod by CNI and talks from it, on the Bun inside flanneld: as in AWS', async () => {
    const { pods, nodes } = JSON.parse((await tools('status', '--stack', kept, '--json')).stdout) as Outputs;
    const root = `/var/lib/flannel-local/${kept}/nodes/node-0`;
    const probe = (namespace: string, ...args: string[]) =>
      start(['nsenter', `--net=${namespace}`, '--', `${root}/opt/flannel/current/flanneld`, PROBE, ...args], {
        env: { BUN_BE_BUN: '1' },
      });
    const name = `fltest-${process.pid}-probe`;
    const chain = [
      `/run/netns/${name}`,
      `${root}/etc/cni/net.d/10-flannel.conflist`,
      `${root}/opt/flannel/current/cni`,
    ];
    const target = pods.find(({ node }) => node === 'node-1')!;
    const server = probe(target.netns, 'serve', '7412');
    await run(['ip', 'netns', 'add', name]);
    try {
      await new Promise((resolve) => server.stdout!.once('data', resolve));
      const attached = await finish(probe(netns(kept, 'node-0'), 'attach', ...chain));
      const self = { name, address: attached.stdout.trim(), nodeAddress: nodes[0]!.address };
      expect([attached.stderr, self.address]).toEqual(['', expect.stringMatching(/^10\.244\./)]);
      const targets = [{ name: target.name, address: target.address, checks: POD_CHECKS }];
      const plan = { ...CHECK_SETTINGS, port: 7412, self, targets };
      const checked = await finish(probe(`/run/netns/${name}`, 'check', JSON.stringify(plan)));
      const results = JSON.parse(checked.stdout) as CheckResult[];
      expect([results.map(({ check }) => check), failures(results)]).toEqual([[...POD_CHECKS], []]);
      expect((await finish(probe(netns(kept, 'node-0'), 'detach', ...chain))).code).toBe(0);
    } finally {
      server.kill('SIGKILL');
      await run(['ip', 'netns', 'delete', name]);
    }
  });

  test('conformance sees what does not work', async () => {
    const forbid = 'add table ip e2e; add chain ip e2e f { type filter hook forward priority 0; };';
    const drop = 'add rule ip e2e f udp dport 7411 drop';
    await run(['nsenter', `--net=${netns(kept, 'node-0')}`, '--', 'nft', forbid + drop]);
    const { code, stdout } = await tools('conformance', '--stack', kept);
    expect(code).toBe(1);
    expect(stdout).toMatch(/tcp +2 of 2/);
    expect(stdout).toMatch(/udp +0 of 2/);
    expect(stdout).toMatch(/udp pod-0-0 -> pod-1-0: no answer to 5 datagrams of 1200 bytes/);
  });

  test('the janitor leaves it alone until its time is over, and then removes it from any checkout', async () => {
    const alive = await tools('janitor', '--destroy');
    expect([alive.code, alive.stdout]).toEqual([0, expect.stringMatching(new RegExp(`${kept} .* alive`))]);
    expect(stacks()).toContain(kept);
    const past = ['stack', 'tag', 'set', 'flannel:ttl', '2020-01-01T00:00:00Z', '--stack', kept];
    expect((await tools('pulumi', ...past)).code).toBe(0);
    const dry = await tools('janitor');
    expect([dry.code, dry.stdout]).toEqual([0, expect.stringMatching(new RegExp(`${kept} .* expired`))]);
    expect(stacks()).toContain(kept);
    rmSync(join(REPOSITORY, 'stacks', `Pulumi.${kept}.yaml`)); // another checkout does not have it
    const removal = await tools('janitor', '--destroy');
    expect([removal.code, removal.stderr]).toEqual([0, expect.stringContaining(`Removed "${kept}"`)]);
    expectGone(branches.keeps);
    expect((await tools('janitor', '--destroy')).stdout.trim()).toBe('There are no stacks made for CI');
  });
});

test('a run that fails removes its stack, and ends with 1', async () => {
  const { code, stderr } = await run(ephemeral(branches.fails, '--config', 'podCidr=10.64.8.0/22'), env);
  expect([code, stderr]).toEqual([1, expect.stringMatching(/stack: failed[\s\S]*failed; the stack ".*" is gone/)]);
  expectGone(branches.fails);
});

test('a run that gets a signal removes its stack first, and gets it once', async () => {
  const { child, outcome } = await startUntilNode(branches.ends);
  child.kill('SIGTERM');
  setTimeout(() => child.kill('SIGTERM'), 1_000);
  const { code, stderr } = await outcome;
  expect([code, stderr]).toEqual([143, expect.stringMatching(/interrupted; the stack ".*" is gone/)]);
  expect(stderr).toContain('SIGTERM: already removing the stack');
  expectGone(branches.ends);
});

test('a run whose command is killed removes its stack all the same', async () => {
  const { child, outcome } = await startUntilNode(branches.dies);
  child.kill('SIGKILL');
  await until('the stack is gone', () => !stacks().includes(stackOf(branches.dies)), 120);
  await outcome; // whoever still writes to its pipes has ended
  expectGone(branches.dies);
});
