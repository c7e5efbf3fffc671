/**
 * The AWS CLI's way into the account: what an `up` asks while it waits, and what people ask afterwards. Time passes when it is asked
 * for: each question finds the account one step further, so that nobody gets through who asks only once.
 */
import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';
import type { Cloud, Resource } from './cloud.ts';
import { ApiError } from './errors.ts';
import { describeGroup, describeRefreshes } from './kinds/groups.ts';
import { INSTANCE } from './kinds/machines.ts';
import { plain, text } from './values.ts';

/** Gives the port. A request's body is the command's arguments, each with a NUL behind it. */
export async function serveCli(cloud: Cloud): Promise<number> {
  const server = createServer((request, response) => {
    buffer(request)
      .then((body) => answer(cloud, body.toString().split('\0').slice(0, -1)))
      .then((value) => response.end(JSON.stringify(value)))
      .catch((error: Error) => {
        const code = error instanceof ApiError ? error.code : 'InternalFailure';
        response.writeHead(400).end(`An error occurred (${code}): ${error.message}`);
      });
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
  });
}

function answer(cloud: Cloud, [service = '', operation = '', ...args]: readonly string[]): unknown {
  const option = (name: string) => args[args.indexOf(`--${name}`) + 1] ?? '';
  const known = OPERATIONS[`${service} ${operation}`];
  if (known === undefined)
    throw new Error(`"aws ${service} ${operation}" is not known to this test double: tests/aws/double/cli.ts`);
  return known(cloud, option);
}

type Option = (name: string) => string;

const OPERATIONS: Readonly<Record<string, (cloud: Cloud, option: Option) => unknown>> = {
  'ssm describe-instance-information': describeInformation,
  'ssm send-command': sendCommand,
  'ssm get-command-invocation': getInvocation,
  'autoscaling describe-auto-scaling-groups': (cloud, option) => ({
    AutoScalingGroups: describeGroup(cloud, option('auto-scaling-group-names')),
  }),
  'autoscaling describe-instance-refreshes': (cloud, option) => ({
    InstanceRefreshes: describeRefreshes(cloud, option('auto-scaling-group-name')),
  }),
};

/** A machine's agent reports after its boot: not when it is asked for the first time. */
function describeInformation(cloud: Cloud, option: Option): unknown {
  const id = option('filters').replace('Key=InstanceIds,Values=', '');
  if (!exists(cloud, id)) return { InstanceInformationList: [] };
  const isNew = !cloud.reported.has(id);
  cloud.reported.add(id);
  return { InstanceInformationList: isNew ? [] : [{ InstanceId: id, PingStatus: 'Online' }] };
}

function sendCommand(cloud: Cloud, option: Option): unknown {
  const { InstanceIds, Comment = '' } = JSON.parse(option('cli-input-json')) as {
    readonly InstanceIds: readonly string[];
    readonly Comment?: string;
  };
  const [instance = ''] = InstanceIds;
  if (!exists(cloud, instance) || !cloud.reported.has(instance)) {
    throw new ApiError('InvalidInstanceId', `Instances [[${instance}]] not in a valid state for account`);
  }
  const name = Comment.replace(/^.*: /, '');
  const entry = cloud.begin({ operation: 'run', type: 'aws:ssm/command:Command', name, urn: instance, preview: false });
  const fault = cloud.strike('run', entry.type, name);
  const error = fault?.message ?? '';
  if (fault !== undefined) entry.error = error;
  const id = cloud.newId('command');
  const end = { status: fault === undefined ? 'Success' : 'Failed', error } as const;
  cloud.commands.set(id, { id, instance, end, ended: () => cloud.end(entry), asked: 0 });
  return { Command: { CommandId: id } };
}

function getInvocation(cloud: Cloud, option: Option): unknown {
  const command = cloud.commands.get(option('command-id'));
  if (command === undefined) throw new ApiError('InvocationDoesNotExist', option('command-id'));
  command.asked += 1;
  if (command.asked === 1) throw new ApiError('InvocationDoesNotExist', command.id);
  if (command.asked === 2) return { Status: 'Pending', StatusDetails: 'Pending' };
  if (command.asked === 3) command.ended();
  const { status, error } = command.end;
  return { Status: status, StatusDetails: status, StandardOutputContent: '', StandardErrorContent: error };
}

function exists(cloud: Cloud, id: string): boolean {
  return cloud.machines.has(id) || isRunning(cloud.get(INSTANCE, id));
}

function isRunning(instance: Resource | undefined): boolean {
  return instance !== undefined && text(plain(instance.outputs), 'instanceState') === 'running';
}
