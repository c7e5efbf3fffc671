/** Systems Manager is a made-up one here: what it is asked is looked at, and nothing of it runs. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Aws } from '@flannel-ts/infra/aws/cli';
import { AwsSubstrate } from './aws.ts';
import { CHECK_SETTINGS, failures, POD_CHECKS } from './checks.ts';
import { checkScript, closeScript, openScript } from './node-scripts.ts';
import { runConformance } from './run.ts';

const ROOT = join(__dirname, '..', '..', '..');
const never = new AbortController().signal;

interface Sent {
  readonly instance: string;
  readonly script: string;
}

/** An account with two nodes. `answer` says what a script prints, undefined if it fails. */
function account(answer: (sent: Sent) => string | undefined): { aws: Aws; sent: Sent[]; asked: string[] } {
  const sent: Sent[] = [];
  const asked: string[] = [];
  const unknown = new Set<string>();
  const aws: Aws = async ([service = '', operation = '', ...args]) => {
    asked.push(`${service} ${operation}`);
    if (operation === 'describe-instances') {
      asked.push(...args.filter((arg) => arg.startsWith('Name=')));
      const Instances = ['10.64.0.16', '10.64.8.16'].map((PrivateIpAddress, i) => ({
        InstanceId: `i-${i}`,
        PrivateIpAddress,
      }));
      return { Reservations: [{ Instances }] };
    }
    if (operation === 'describe-instance-information') return { InstanceInformationList: [{ PingStatus: 'Online' }] };
    if (operation === 'send-command') {
      const { InstanceIds, Parameters } = JSON.parse(args[1]!) as {
        InstanceIds: string[];
        Parameters: { commands: string[] };
      };
      sent.push({ instance: InstanceIds[0]!, script: Parameters.commands[0]! });
      unknown.add(`command-${sent.length}`);
      return { Command: { CommandId: `command-${sent.length}` } };
    }
    const id = args[1]!;
    if (unknown.delete(id)) throw new Error('An error occurred (InvocationDoesNotExist)');
    const StandardOutputContent = answer(sent[Number(id.split('-')[1]) - 1]!);
    return StandardOutputContent === undefined
      ? { Status: 'Failed', StandardErrorContent: 'no such file\n' }
      : { Status: 'Success', StandardOutputContent };
  };
  return { aws, sent, asked };
}

const nodes = [
  { name: 'node-0', address: '10.64.0.16' },
  { name: 'node-1', address: '10.64.8.16' },
];

/** The plan that a script hands to the probe. */
function planOf(script: string) {
  return JSON.parse(Buffer.from(/echo (\S+) \| base64 -d\)/.exec(script)![1]!, 'base64').toString());
}

test('AwsSubstrate makes a pod on each node, tests between them, and removes them', async () => {
  const { aws, sent, asked } = account(({ instance, script }) => {
    if (script.includes(' serve ')) return `10.244.${instance.slice(2)}.2\n`;
    if (!script.includes(' check ')) return '';
    const { self, targets } = planOf(script);
    const results = POD_CHECKS.map((check) => ({ from: self.name, to: targets[0].name, check, milliseconds: 1 }));
    return gzipSync(JSON.stringify(results)).toString('base64');
  });
  const results = await runConformance(new AwsSubstrate(ROOT, 'ci-x', nodes, aws, 1), never);
  expect(results).toHaveLength(14);
  expect(failures(results)).toEqual([]);
  expect(results[0]).toMatchObject({ from: 'pod-of-node-0', to: 'pod-of-node-1' });
  expect(asked).toContain('Name=tag:flannel:stack,Values=ci-x');
  const closed = sent.slice(-2).map(({ instance, script }) => [instance, script]);
  expect(closed).toEqual([
    ['i-0', closeScript()],
    ['i-1', closeScript()],
  ]);
});

test('AwsSubstrate removes its pods also when one could not be made', async () => {
  const { aws, sent } = account(({ instance }) => (instance === 'i-1' ? undefined : '10.244.0.2'));
  await expect(runConformance(new AwsSubstrate(ROOT, 'ci-x', nodes, aws, 1), never)).rejects.toThrow(
    'A command on i-1 ended as Failed: no such file',
  );
  expect(sent.filter(({ script }) => script === closeScript()).map(({ instance }) => instance)).toEqual(['i-0', 'i-1']);
});

test.each([
  ['openScript()', openScript('console.log("it\'s")', 7411)],
  [
    'checkScript()',
    checkScript({ ...CHECK_SETTINGS, self: { name: "it's", address: '', nodeAddress: '' }, targets: [] }),
  ],
  ['closeScript()', closeScript()],
])('%s is sh that can be read, whatever is in the plan', (_, script) => {
  const { status, stderr } = spawnSync('sh', ['-n'], { input: script, encoding: 'utf8' });
  expect([status, stderr]).toEqual([0, '']);
});
