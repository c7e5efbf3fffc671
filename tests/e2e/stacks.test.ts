/** Two stacks at once with the same CIDRs; and input that is refused before anything is made. */
import { cli, cliOk, leftovers, netns, outputs, processesIn, servePods, stackName, unreachable } from './support.ts';

jest.setTimeout(600_000);

describe('two stacks with the same CIDRs', () => {
  const stacks = [stackName('one'), stackName('two')] as const;

  afterAll(async () => {
    for (const stack of stacks) await cli('down', '--stack', stack);
  });

  test('live side by side, and the end of one does not disturb the other', async () => {
    await Promise.all(stacks.map((stack) => cliOk('up', '--stack', stack, '--nodes', '2', '--pods', '1')));
    const [one, two] = await Promise.all(stacks.map(outputs));
    expect(one!.nodes.map((node) => node.address)).toEqual(two!.nodes.map((node) => node.address));
    const pids = processesIn(netns(stacks[1], 'node-0')).map(({ pid }) => pid);
    for (const { pods } of [one!, two!]) {
      const stop = await servePods(pods, 7000);
      try {
        expect(await unreachable(pods, 7000)).toEqual([]);
      } finally {
        stop();
      }
    }
    await cliOk('down', '--stack', stacks[0]);
    expect(leftovers(stacks[0])).toEqual([]);
    expect(processesIn(netns(stacks[1], 'node-0')).map(({ pid }) => pid)).toEqual(pids);
    const stop = await servePods(two!.pods, 7000);
    try {
      expect(await unreachable(two!.pods, 7000)).toEqual([]);
    } finally {
      stop();
    }
  });
});

describe('input that is refused', () => {
  test.each([
    ['a pod CIDR inside the VPC', ['--config', 'podCidr=10.64.8.0/22'], /10\.64\.8\.0\/22.*overlap.*10\.64\.0\.0\/19/],
    ['a pod CIDR around the VPC', ['--config', 'podCidr=10.64.0.0/16'], /10\.64\.0\.0\/16.*overlap/],
    ['a VPC too small for its nodes', ['--config', 'vpcCidr=10.64.0.0/28', '--nodes', '20'], /10\.64\.0\.0\/28.*20/],
    ['a subnet length that leaves too few subnets', ['--config', 'subnetLength=18', '--nodes', '5'], /subnet/i],
    ['an unknown backend', ['--config', 'backend={"Type":"carrier-pigeon"}'], /carrier-pigeon/],
    ['a number of nodes that is none', ['--nodes', 'many'], /many/],
  ])('%s gets one sentence, and nothing is made', async (_, args, sentence) => {
    const stack = stackName('bad');
    const result = await cli('up', '--stack', stack, ...args);
    expect(result.code).not.toBe(0);
    const lines = (result.stdout + result.stderr).split('\n').filter((line) => sentence.test(line));
    expect(lines.length).toBeGreaterThanOrEqual(1);
    expect(result.stdout + result.stderr).not.toMatch(/\n\s+at /);
    await cliOk('down', '--stack', stack);
    expect(leftovers(stack)).toEqual([]);
  });

  test.each(['Dev', 'a b', '-x', 'x'.repeat(64)])('the stack name %p', async (name) => {
    const result = await cli('up', '--stack', name);
    expect(result.code).toBe(2);
    expect(result.stderr).toContain(name);
    expect(leftovers(name)).toEqual([]);
  });
});
