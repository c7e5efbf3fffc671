/**
 * Commands on machines of an account, by Systems Manager: there is no other way in. Each step is asked for until it is done; an
 * association would be less work, but may be called successful by AWS before a machine that still boots has seen it
 * (terraform-provider-aws, issue 31175).
 */
import { InfraError } from '../errors.ts';
import type { Aws } from './cli.ts';
import { Poll, type PollOptions } from './poll.ts';

/** How long a command may take, its machine's boot included. Installing and joining take a minute or two, with retries a few more. */
const COMMAND_SECONDS = 1200;
const UNFINISHED = ['Pending', 'InProgress', 'Delayed', 'Cancelling'];
/** Ends of a command that no machine has seen, as of one that was just starting again. */
const UNSEEN = ['Undeliverable', 'DeliveryTimedOut'];

interface Invocation {
  readonly Status: string;
  readonly StatusDetails?: string;
  readonly StandardOutputContent?: string;
  readonly StandardErrorContent?: string;
}

export interface RunOptions extends PollOptions {
  /** What the command is for, as the account's history shows it. */
  readonly comment?: string;
  readonly seconds?: number;
}

/** Runs a script on an instance, as soon as the instance can be reached, and gives what it prints. It may be run twice. */
export async function runOnInstance(
  aws: Aws,
  instance: string,
  script: string,
  options: RunOptions = {},
): Promise<string> {
  const { comment, seconds = COMMAND_SECONDS } = options;
  const poll = new Poll(seconds, options);
  const ask = (args: readonly string[]) => aws(['ssm', ...args], options.signal);
  await poll.until(
    () => isOnline(ask, instance),
    `${instance} is not known to Systems Manager as online: look at its system log (aws ec2 get-console-output)`,
  );
  const input = {
    DocumentName: 'AWS-RunShellScript',
    InstanceIds: [instance],
    ...(comment !== undefined && { Comment: comment }),
    Parameters: { commands: [script], executionTimeout: [String(seconds)] },
  };
  for (;;) {
    const id = await poll.until(() => send(ask, input), `Systems Manager takes no command for ${instance}`);
    const late = `The command ${id} on ${instance} has not ended within ${seconds} s`;
    const ended = await poll.until(() => invocation(ask, id, instance), late);
    if (!UNSEEN.includes((ended.StatusDetails ?? '').replaceAll(' ', ''))) return outputOf(ended, instance);
    await poll.pause(late);
  }
}

type Ask = (args: readonly string[]) => Promise<unknown>;

async function isOnline(ask: Ask, instance: string): Promise<true | undefined> {
  const filters = ['--filters', `Key=InstanceIds,Values=${instance}`];
  const { InstanceInformationList: found } = (await ask(['describe-instance-information', ...filters])) as {
    readonly InstanceInformationList: readonly { readonly PingStatus: string }[];
  };
  return found[0]?.PingStatus === 'Online' ? true : undefined;
}

/** An instance may be online some seconds before commands for it are taken. */
async function send(ask: Ask, input: object): Promise<string | undefined> {
  const sent = await ask(['send-command', '--cli-input-json', JSON.stringify(input)]).catch(
    unless('InvalidInstanceId'),
  );
  return (sent as { Command: { CommandId: string } } | undefined)?.Command.CommandId;
}

/** A command is sent before Systems Manager knows of its invocation. */
async function invocation(ask: Ask, id: string, instance: string): Promise<Invocation | undefined> {
  const args = ['get-command-invocation', '--command-id', id, '--instance-id', instance];
  const found = (await ask(args).catch(unless('InvocationDoesNotExist'))) as Invocation | undefined;
  return found === undefined || UNFINISHED.includes(found.Status) ? undefined : found;
}

function unless(code: string): (error: Error) => undefined {
  return (error) => {
    if (!error.message.includes(code)) throw error;
  };
}

function outputOf(ended: Invocation, instance: string): string {
  const { Status, StandardOutputContent = '', StandardErrorContent = '' } = ended;
  if (Status === 'Success') return StandardOutputContent;
  const said = [StandardErrorContent, StandardOutputContent].map((text) => text.trim()).filter((text) => text !== '');
  throw new InfraError('AWS', `A command on ${instance} ended as ${Status}: ${said.join('\n')}`);
}
