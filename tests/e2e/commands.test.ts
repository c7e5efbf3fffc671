/** The commands around a stack: what they print, where, and their exit codes. */
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  cli,
  cliOk,
  finish,
  leftovers,
  netns,
  type Outputs,
  processesIn,
  processesMarked,
  REPOSITORY,
  type Result,
  stackName,
  start,
  until,
} from './support.ts';

jest.setTimeout(600_000);

describe('a stack of one node', () => {
  const stack = stackName('commands');
  const settings = join(REPOSITORY, 'stacks', `Pulumi.${stack}.yaml`);

  beforeAll(async () => {
    await cliOk(
      'up',
      '--stack',
      stack,
      '--nodes',
      '1',
      '--pods',
      '2',
      '--config',
      'backend={"Type":"udp","Port":8299}',
    );
  });

  afterAll(async () => {
    await cliOk('down', '--stack', stack);
    expect(leftovers(stack)).toEqual([]);
    expect(existsSync(settings)).toBe(false);
  });

  test('status --json prints one object, and no secret in clear', async () => {
    const { stdout } = await cliOk('status', '--stack', stack, '--json');
    const outputs = JSON.parse(stdout) as Outputs & { etcdClient: unknown };
    expect(outputs.nodes).toHaveLength(1);
    expect(outputs.pods.map(({ name }) => name)).toEqual(['pod-0-0', 'pod-0-1']);
    expect(outputs.network).toMatchObject({ backend: { Type: 'udp', Port: 8299 } });
    expect(stdout).not.toMatch(/PRIVATE KEY/);
    expect(outputs.etcdClient).toBe('[secret]');
  });

  test('npm run -s status -- --json prints nothing beside the object', async () => {
    const result = await finish(start(['npm', 'run', '-s', 'status', '--', '--stack', stack, '--json']));
    expect(() => JSON.parse(result.stdout)).not.toThrow();
    expect(result.stderr).toBe('');
  });

  test('status shows that the pods reach each other', async () => {
    const { stdout } = await cliOk('status', '--stack', stack);
    expect(stdout).toMatch(/node-0 +10\.64\.0\.16 +10\.244\.\d+\.0\/24 +ready/);
    expect(stdout).toMatch(/pod-0-0 +- +\d+\.\d+/);
    expect(stdout).not.toContain('none');
  });

  test('shell runs a command in a pod, and ends as it does', async () => {
    const { stdout } = await cliOk('shell', '--stack', stack, 'pod-0-0', 'ip', '-4', '-o', 'address', 'show', 'eth0');
    expect(stdout).toMatch(/inet 10\.244\./);
    expect((await cli('shell', '--stack', stack, 'node-0', 'sh', '-c', 'exit 7')).code).toBe(7);
    expect((await cliOk('shell', '--stack', stack, 'node-0', 'flanneld', 'status', '-json')).stdout).toContain(
      '"ready"',
    );
    expect((await cli('shell', '--stack', stack, 'node-0', 'sh', '-c', 'kill -TERM $$')).code).toBe(143);
  });

  test('shell knows the names of nodes and pods, without changing those of this machine', async () => {
    await cliOk('shell', '--stack', stack, 'pod-0-0', 'ping', '-c', '1', '-W', '5', 'pod-0-1');
    await cliOk('shell', '--stack', stack, 'pod-0-0', '--', 'ping', '-c', '1', '-W', '5', 'node-0');
    expect(readFileSync('/etc/hosts', 'utf8')).not.toContain('pod-0-1');
  });

  test('shell has etcdctl ready on an etcd member', async () => {
    const { stdout } = await cliOk('shell', '--stack', stack, 'etcd-0', 'etcdctl', 'get', '/coreos.com/network/config');
    expect(stdout).toContain('"Network":"10.244.0.0/16"');
  });

  test('an interactive shell says where it is', async () => {
    const script = `printf 'echo "at $PS1"\n' | SHELL=/bin/sh node tools/run.mjs shell --stack ${stack} node-0`;
    expect((await finish(start(['sh', '-c', script]))).stdout).toContain(`at [node-0.${stack}]`);
  });

  test('stacks lists it', async () => {
    expect((await cliOk('stacks')).stdout).toMatch(new RegExp(`^  ${stack} +\\d+ +20`, 'm'));
  });

  test('shell and logs name what there is when they do not find what is asked for', async () => {
    const shell = await cli('shell', '--stack', stack, 'pod-7-0', 'true');
    expect([shell.code, shell.stderr.trim()]).toEqual([
      1,
      `Stack "${stack}" has no "pod-7-0": use one of etcd-0, node-0, pod-0-0, pod-0-1, vpc`,
    ]);
    const logs = await cli('logs', '--stack', stack, 'node-7');
    expect([logs.code, logs.stderr.trim()]).toEqual([
      1,
      `Stack "${stack}" has no log of "node-7": use one of etcd-0, node-0`,
    ]);
  });

  test('logs shows the log of a node, and continues with --follow until it is interrupted', async () => {
    expect((await cliOk('logs', '--stack', stack, 'node-0')).stdout).toMatch(/ready/i);
    const child = start(['node', 'tools/run.mjs', 'logs', '--stack', stack, 'node-0', '--follow']);
    child.stdout!.once('data', () => child.kill('SIGINT'));
    const { code, stdout } = await finish(child);
    expect([code, stdout.length > 0]).toEqual([0, true]);
  });

  test('up again changes nothing and says that all reach all', async () => {
    const { stderr } = await cliOk('up', '--stack', stack);
    expect(stderr).toMatch(/^\d+ unchanged/m);
  });

  test("status shows what each node's flanneld says, and ends with 1 when one says nothing", async () => {
    expect((await cliOk('status', '--stack', stack)).stdout).toMatch(/ ready +no others +in 2\d h.* udp, \w+ engine\n/);
    expect((await cliOk('status', '--stack', stack, 'node-0')).stdout).toMatch(
      /^flanneld .* is ready\n[\s\S]*\nlease /,
    );
    const { flanneld } = JSON.parse((await cliOk('status', '--stack', stack, '--json')).stdout);
    expect(flanneld).toMatchObject({ 'node-0': { ready: true, node: { backend: 'udp' }, peers: [] } });
    process.kill(flanneld['node-0'].pid, 'SIGSTOP');
    try {
      const { code, stdout } = await cli('status', '--stack', stack);
      expect([code, stdout]).toEqual([
        1,
        expect.stringMatching(/\nNOT WELL: node-0\n +flanneld.*does not answer within 3 s/),
      ]);
    } finally {
      process.kill(flanneld['node-0'].pid, 'SIGCONT');
    }
    const unknown = await cli('status', '--stack', stack, 'node-7');
    expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining('use one of node-0')]);
  });

  test('status of a stack whose first up did not end shows the nodes that are there, and how to go on', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'flannel-state-'));
    const file = join(directory, 'state.json');
    try {
      await cliOk('pulumi', 'stack', 'export', '--stack', stack, '--file', file);
      const state = JSON.parse(readFileSync(file, 'utf8')) as {
        deployment: { resources: { type: string; outputs?: object }[] };
      };
      for (const resource of state.deployment.resources) {
        if (resource.type === 'pulumi:pulumi:Stack') resource.outputs = {};
      }
      writeFileSync(file, JSON.stringify(state));
      await cliOk('pulumi', 'stack', 'import', '--stack', stack, '--file', file);
    } finally {
      rmSync(directory, { recursive: true });
    }
    const { code, stdout, stderr } = await cli('status', '--stack', stack);
    expect([code, stdout]).toEqual([1, expect.stringMatching(/node-0 +10\.64\.0\.16 +10\.244\.\d+\.0\/24 +ready/)]);
    expect(stderr).toContain(`"npm run up -- --stack ${stack}" continues it`);
  });

  test('up says that etcd is stopped and how it goes on, and Ctrl-C ends the wait for it', async () => {
    const etcd = processesIn(netns(stack, 'etcd-0')).find(({ pid }) => read(pid, 'comm').trim() === 'etcd')!;
    const status = `/var/lib/flannel-local/${stack}/nodes/etcd-0/run/etcd.status.json`;
    process.kill(etcd.pid, 'SIGSTOP');
    try {
      await until('the supervisor misses etcd', () => readFileSync(status, 'utf8').includes('"ready":false'), 120);
      const { said, child, ended } = startUntil(/EtcdMember \S+ updating/, 'up', '--stack', stack, '--verbose');
      await said;
      child.kill('SIGINT');
      const interrupted = await ended;
      expect(interrupted.code).not.toBe(0);
      expect(interrupted.stdout).toContain('Interrupted while waiting for etcd on etcd-0');
      const { code, stderr } = await cli('up', '--stack', stack);
      expect([code, stderr]).toEqual([1, expect.stringContaining(`"kill -CONT ${etcd.pid}" lets it go on`)]);
    } finally {
      process.kill(etcd.pid, 'SIGCONT');
    }
  });
});

/** Runs it until it says `text`. */
function startUntil(
  text: RegExp,
  ...args: string[]
): { said: Promise<void>; child: ChildProcess; ended: Promise<Result> } {
  const child = start(['node', 'tools/run.mjs', ...args]);
  const ended = finish(child);
  let output = '';
  const said = new Promise<void>((resolve) => {
    child.stdout!.on('data', (chunk: Buffer) => {
      output += chunk;
      if (text.test(output)) resolve();
    });
    child.once('close', () => resolve());
  });
  return { said, child, ended };
}

describe('a Pulumi that is killed', () => {
  const stack = stackName('killed');
  const size = ['--stack', stack, '--nodes', '1', '--pods', '1'];

  afterAll(async () => {
    if (leftovers(stack).length > 0) await cliOk('down', '--stack', stack);
  });

  test('leaves a lock, operations and processes; the next down clears them all', async () => {
    const { said, ended } = startUntil(/EtcdMember/, 'up', ...size, '--verbose');
    await said;
    for (const pid of pulumiOf(stack)) process.kill(pid, 'SIGKILL');
    expect((await ended).code).not.toBe(0);
    await cliOk('down', '--stack', stack);
    expect(leftovers(stack)).toEqual([]);
    expect(processesMarked(stack)).toEqual([]);
  });

  test('and commands at the same time come one after the other, whichever is first', async () => {
    const first = startUntil(/EtcdMember/, 'up', ...size, '--verbose');
    await first.said;
    const both = [cli('up', ...size), cli('down', '--stack', stack)];
    for (const result of await Promise.all([first.ended, ...both])) expect(result).toMatchObject({ code: 0 });
    await cliOk('down', '--stack', stack);
    expect(leftovers(stack)).toEqual([]);
  });
});

describe('without a stack', () => {
  const stack = stackName('none');

  test('status says how to make one', async () => {
    const { code, stderr } = await cli('status', '--stack', stack);
    expect([code, stderr.trim()]).toEqual([
      1,
      `Stack "${stack}" does not exist: "npm run up -- --stack ${stack}" creates it, "npm run stacks" lists those that exist`,
    ]);
  });

  test('shell says that, and where a flag belongs', async () => {
    const missing = await cli('shell', '--stack', stack, 'pod-0-0', '-s', 'other');
    expect([missing.code, missing.stderr]).toEqual([1, expect.stringContaining('put -s NAME before "pod-0-0"')]);
  });

  test('down has nothing to do, and that is no failure', async () => {
    expect((await cli('down', '--stack', stack)).code).toBe(0);
  });
});

function pulumiOf(stack: string): number[] {
  return processesMarked(stack).filter((pid) => read(pid, 'comm').trim() === 'pulumi');
}

function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return ''; // it has ended
  }
}
