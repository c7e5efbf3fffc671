import type { Aws } from './cli.ts';
import { runOnInstance } from './systems-manager.ts';

const QUICKLY = { mostMs: 1 };

/** Answers of each operation, in order; the last one again and again. An Error is thrown. */
function account(answers: Readonly<Record<string, readonly unknown[]>>): {
  readonly aws: Aws;
  readonly asked: string[];
} {
  const asked: string[] = [];
  const given = new Map<string, number>();
  const aws: Aws = async ([, operation = '']) => {
    asked.push(operation);
    const n = given.get(operation) ?? 0;
    given.set(operation, n + 1);
    const all = answers[operation]!;
    const answer = all[Math.min(n, all.length - 1)];
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return { aws, asked };
}

const unknown = { InstanceInformationList: [] };
const lost = { InstanceInformationList: [{ PingStatus: 'ConnectionLost' }] };
const online = { InstanceInformationList: [{ PingStatus: 'Online' }] };
const sent = { Command: { CommandId: 'c' } };
const done = { Status: 'Success', StandardOutputContent: 'said\n' };

describe('runOnInstance()', () => {
  test('waits until the machine is online, the command is taken, and it has ended', async () => {
    const { aws, asked } = account({
      'describe-instance-information': [unknown, lost, online],
      'send-command': [new Error('An error occurred (InvalidInstanceId)'), sent],
      'get-command-invocation': [
        new Error('An error occurred (InvocationDoesNotExist)'),
        { Status: 'Pending' },
        { Status: 'InProgress' },
        done,
      ],
    });
    expect(await runOnInstance(aws, 'i-0', 'true', QUICKLY)).toBe('said\n');
    expect(asked).toEqual([
      ...Array<string>(3).fill('describe-instance-information'),
      ...Array<string>(2).fill('send-command'),
      ...Array<string>(4).fill('get-command-invocation'),
    ]);
  });

  test.each(['Undeliverable', 'Delivery Timed Out'])(
    'sends a command again that ended as %s',
    async (StatusDetails) => {
      const { aws, asked } = account({
        'describe-instance-information': [online],
        'send-command': [sent],
        'get-command-invocation': [{ Status: 'TimedOut', StatusDetails }, done],
      });
      expect(await runOnInstance(aws, 'i-0', 'true', QUICKLY)).toBe('said\n');
      expect(asked.filter((operation) => operation === 'send-command')).toHaveLength(2);
    },
  );

  test('says what a command said that failed', async () => {
    const failed = { Status: 'Failed', StatusDetails: 'Failed', StandardErrorContent: 'etcd-0 is not healthy\n' };
    const { aws } = account({
      'describe-instance-information': [online],
      'send-command': [sent],
      'get-command-invocation': [failed],
    });
    await expect(runOnInstance(aws, 'i-0', 'false', QUICKLY)).rejects.toThrow(
      'A command on i-0 ended as Failed: etcd-0 is not healthy',
    );
  });

  test('gives up at its time, and says what it waited for', async () => {
    const offline = account({ 'describe-instance-information': [lost] });
    await expect(runOnInstance(offline.aws, 'i-0', 'true', { ...QUICKLY, seconds: 0 })).rejects.toThrow(
      'i-0 is not known to Systems Manager as online',
    );
    const endless = account({
      'describe-instance-information': [online],
      'send-command': [sent],
      'get-command-invocation': [{ Status: 'InProgress' }],
    });
    await expect(runOnInstance(endless.aws, 'i-0', 'true', { ...QUICKLY, seconds: 0 })).rejects.toThrow(
      'The command c on i-0 has not ended within 0 s',
    );
  });

  test('passes on what it does not understand', async () => {
    const { aws } = account({
      'describe-instance-information': [online],
      'send-command': [sent],
      'get-command-invocation': [new Error('ExpiredToken')],
    });
    await expect(runOnInstance(aws, 'i-0', 'true', QUICKLY)).rejects.toThrow('ExpiredToken');
  });
});
