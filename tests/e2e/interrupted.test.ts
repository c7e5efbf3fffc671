/** Commands that were cut off in the middle, and states that others changed: the next `up` and `down` reach their end. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  changedArtifact,
  cli,
  cliOk,
  finish,
  leftovers,
  netns,
  outputs,
  processesIn,
  processesMarked,
  REPOSITORY,
  servePods,
  stackName,
  start,
  unreachable,
} from './support.ts';

jest.setTimeout(600_000);

const stack = stackName('interrupted');
const SIZE = ['--stack', stack, '--nodes', '2', '--pods', '1'];

async function expectAllReachable(): Promise<void> {
  const { pods } = await outputs(stack);
  const stop = await servePods(pods, 7000);
  try {
    expect(await unreachable(pods, 7000)).toEqual([]);
  } finally {
    stop();
  }
}

/** The process of each of the two nodes. */
function flannelds(): number[] {
  return ['node-0', 'node-1'].flatMap((node) =>
    processesIn(netns(stack, node))
      .filter(({ command }) => /flanneld\b/.test(command.split(' ')[0]!))
      .map(({ pid }) => pid),
  );
}

/** Starts `up` in a process group of its own and ends the whole group by `signal` as soon as it says `text`. */
async function cutUp(signal: NodeJS.Signals, text: RegExp): Promise<void> {
  const child = start(['node', 'tools/run.mjs', 'up', ...SIZE, '--verbose'], { detached: true });
  const ended = new Promise((resolve) => child.on('close', resolve));
  let said = '';
  await new Promise<void>((resolve) => {
    const look = (chunk: Buffer) => {
      said += chunk;
      if (text.test(said)) resolve();
    };
    child.stdout?.on('data', look);
    child.stderr?.on('data', look);
    child.on('close', () => resolve());
  });
  if (child.exitCode === null) process.kill(-child.pid!, signal);
  await ended;
  expect(said).toMatch(text);
  expect(child.exitCode).not.toBe(0);
}

/** Kills `down` and all that it has started, Pulumi too, as soon as it says so. */
async function killDown(when: string): Promise<void> {
  const child = start(['node', 'tools/run.mjs', 'down', '--stack', stack, '--verbose'], { detached: true });
  const ended = finish(child);
  let said = '';
  await new Promise<void>((resolve) => {
    child.stdout!.on('data', (chunk: Buffer) => {
      said += chunk;
      if (said.includes(when)) resolve();
    });
    child.once('close', () => resolve());
  });
  for (const pid of processesMarked(stack)) process.kill(pid, 'SIGKILL');
  if (child.exitCode === null) process.kill(-child.pid!, 'SIGKILL');
  await ended;
  expect(said).toContain(when);
}

const pulumi = (...args: string[]) => cliOk('pulumi', ...args, '--stack', stack);

afterAll(async () => {
  if (leftovers(stack).length > 0) await cliOk('down', '--stack', stack);
});

// The tests share a stack, in this order: where one begins does not matter to what it shows, and making one takes long.

describe('an up that was cut off is followed by a down that leaves nothing', () => {
  test.each([
    ['SIGKILL', /Etcd/i],
    ['SIGKILL', /node-0/],
    ['SIGINT', /node-0/],
  ] as const)('%s when it says %s', async (signal, when) => {
    await cutUp(signal, when);
    await cliOk('down', '--stack', stack);
    expect(leftovers(stack)).toEqual([]);
  });
});

describe('an up that was cut off is followed by one that goes on', () => {
  test.each([
    ['SIGKILL', /Etcd/i],
    ['SIGKILL', /node-0/],
    ['SIGINT', /node-1/],
  ] as const)('%s when it says %s', cutUp);

  test('and by one that completes the stack', async () => {
    await cliOk('up', ...SIZE);
    await expectAllReachable();
  });
});

/** In the order in which a down comes to them. */
const POINTS = ['Sandbox pod-1-0 deleted', 'NodeSoftware node-0-software deleted', 'Machine node-0 deleted'] as const;

describe('a down that was killed', () => {
  test.each(POINTS)('at "%s" is followed by an up that completes the stack', async (when) => {
    await killDown(when);
    await cliOk('up', '--stack', stack);
    await expectAllReachable();
  });
});

describe('a stack that others have changed', () => {
  test("is completed after a targeted destroy of a node's software", async () => {
    await pulumi('destroy', '--target', '**node-0-software', '--target-dependents', '--yes', '--skip-preview');
    await cliOk('up', '--stack', stack);
    await expectAllReachable();
  });

  test('goes back to the artifact before by a targeted up, with a deletion of that artifact pending', async () => {
    const before = (await outputs(stack)).artifact.sha256;
    const { directory } = changedArtifact("printf '#!/bin/sh\\nexit 1\\n' >flanneld");
    try {
      const failed = await cli('up', '--stack', stack, '--config', `artifact=${directory}`);
      expect([failed.code, failed.stderr]).toEqual([1, expect.stringContaining('flanneld on node-0 does not come up')]);
      const { deployment } = JSON.parse((await pulumi('stack', 'export')).stdout) as {
        deployment: { resources: { delete?: boolean; outputs?: { sha256?: string } }[] };
      };
      const doomed = deployment.resources.filter((resource) => resource.delete);
      expect(doomed.map(({ outputs: made }) => made?.sha256)).toEqual([before]);
      await pulumi('config', 'rm', 'artifact');
      await pulumi('up', '--target', '**artifact', '--target-dependents', '--yes', '--skip-preview');
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
    // Node 1 may not be ready for a moment, since node 0 did not answer: an update, which interrupts nothing.
    const daemons = flannelds();
    const { stderr } = await cliOk('up', '--stack', stack);
    expect(stderr).toMatch(/\d+ unchanged/);
    expect(stderr).not.toMatch(/\d+ (?:created|replaced|deleted)/);
    expect(flannelds()).toEqual(daemons);
    expect((await outputs(stack)).artifact.sha256).toBe(before);
    await expectAllReachable();
  });

  test('is completed after a down that was killed and a refresh', async () => {
    await killDown('NodeSoftware node-1-software deleted');
    await cliOk('down', '--help'); // and nothing in between that would mend the state
    await pulumi('cancel', '--yes');
    await pulumi('refresh', '--yes', '--skip-preview', '--clear-pending-creates');
    await cliOk('up', '--stack', stack);
    await expectAllReachable();
  });

  test('comes back after a reboot of the host, without addresses that are taken for ever', async () => {
    const parts = readdirSync('/run/netns').filter((name) => name.startsWith(`flannel.${stack}.`));
    const before = (await outputs(stack)).nodes.map(({ podSubnet }) => podSubnet);
    // The supervisors first, which would start their services again.
    for (const _ of [1, 2]) {
      for (const name of parts) {
        for (const { pid } of processesIn(`/run/netns/${name}`)) process.kill(pid, 'SIGKILL');
      }
    }
    for (const name of parts) spawnSync('ip', ['netns', 'delete', name]);
    const nodes = `/var/lib/flannel-local/${stack}/nodes`;
    for (const node of readdirSync(nodes)) rmSync(join(nodes, node, 'run'), { recursive: true, force: true });
    await cliOk('up', '--stack', stack);
    await expectAllReachable();
    const { nodes: after, pods } = await outputs(stack);
    expect(after.map(({ podSubnet }) => podSubnet)).toEqual(before);
    const store = join(nodes, 'node-0/var/lib/cni/networks/flannel');
    const isOfPod = (name: string) =>
      /^\d/.test(name) && !readFileSync(join(store, name), 'utf8').startsWith('flanneld-health-endpoint');
    const taken = readdirSync(store).filter(isOfPod);
    expect(taken).toEqual(pods.filter(({ node }) => node === 'node-0').map(({ address }) => address));
  });

  test('loses a node whose code in the state is faulty', async () => {
    const file = join(mkdtempSync(join(tmpdir(), 'flannel-state-')), 'state.json');
    try {
      await pulumi('stack', 'export', '--file', file);
      const state = JSON.parse(readFileSync(file, 'utf8')) as {
        deployment: { resources: { urn: string; inputs?: object; outputs?: object }[] };
      };
      const faulty = { __provider: 'exports.handler = () => { throw new Error("faulty"); };' };
      const broken = state.deployment.resources.filter(({ urn }) => urn.endsWith('::node-1-software'));
      expect(broken).toHaveLength(1);
      for (const { inputs, outputs: made } of broken) {
        Object.assign(inputs!, faulty);
        Object.assign(made!, faulty);
      }
      writeFileSync(file, JSON.stringify(state));
      await pulumi('stack', 'import', '--file', file);
    } finally {
      rmSync(join(file, '..'), { recursive: true });
    }
    await cliOk('up', '--stack', stack, '--nodes', '1');
    expect((await outputs(stack)).nodes).toHaveLength(1);
    await cliOk('up', '--stack', stack, '--nodes', '2');
    await expectAllReachable();
  });

  test('is the same to a checkout in another folder, which can remove it', async () => {
    const moved = mkdtempSync(join(tmpdir(), 'flannel-moved-'));
    try {
      const left = ['node_modules', '.git', 'stacks'].map((name) => join(REPOSITORY, name));
      cpSync(REPOSITORY, moved, { recursive: true, filter: (path) => !left.includes(path) });
      symlinkSync(join(REPOSITORY, 'node_modules'), join(moved, 'node_modules'));
      const there = (...args: string[]) =>
        finish(start(['node', join(moved, 'tools', 'run.mjs'), ...args, '--stack', stack], {}));
      const up = await there('up');
      expect([up.code, up.stderr]).toEqual([0, expect.stringContaining('nodes=2, podsPerNode=1')]);
      expect((await outputs(stack)).nodes).toHaveLength(2);
      for (const when of POINTS) await killDown(when); // each is followed by a down that goes on, and the last one by one that leaves nothing
      const down = await there('down');
      expect([down.code, down.stderr]).toEqual([0, expect.stringContaining('deleted')]);
      rmSync(join(REPOSITORY, 'stacks', `Pulumi.${stack}.yaml`)); // of the checkout that knows nothing of it
      expect(leftovers(stack)).toEqual([]);
    } finally {
      rmSync(moved, { recursive: true, force: true });
    }
  });
});
