/** Commands on machines of an account, by Systems Manager and the aws CLI: there is no other way in. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ToolError } from '../../setup/errors.mjs';
import type { Aws } from '../../src/aws/cli.ts';

const POLL_MS = 2_000;
/** How long a command may take from when it is sent. */
const COMMAND_SECONDS = 900;
const UNFINISHED = ['Pending', 'InProgress', 'Delayed', 'Cancelling'];

interface Invocation {
  readonly Status: string;
  readonly StandardOutputContent?: string;
  readonly StandardErrorContent?: string;
}

/** Runs a script on an instance, and gives what it prints. */
export async function runOnInstance(
  aws: Aws,
  instance: string,
  script: string,
  signal?: AbortSignal,
  pollMs = POLL_MS,
): Promise<string> {
  const input = {
    DocumentName: 'AWS-RunShellScript',
    InstanceIds: [instance],
    Parameters: { commands: [script], executionTimeout: [String(COMMAND_SECONDS)] },
  };
  const sent = await aws(['ssm', 'send-command', '--cli-input-json', JSON.stringify(input)], signal);
  const { CommandId } = (sent as { Command: { CommandId: string } }).Command;
  const ask = ['ssm', 'get-command-invocation', '--command-id', CommandId, '--instance-id', instance];
  const deadline = Date.now() + COMMAND_SECONDS * 1000;
  for (;;) {
    await sleep(pollMs, undefined, signal ? { signal } : {});
    const answer = (await aws(ask, signal).catch(notThereYet)) as Invocation | undefined;
    if (answer !== undefined && !UNFINISHED.includes(answer.Status)) return outputOf(answer, instance);
    if (Date.now() > deadline) {
      throw new ToolError('AWS', `The command ${CommandId} on ${instance} has not ended within ${COMMAND_SECONDS} s`);
    }
  }
}

/** A command is sent before Systems Manager knows of its invocation. */
function notThereYet(error: Error): undefined {
  if (!error.message.includes('InvocationDoesNotExist')) throw error;
}

function outputOf(answer: Invocation, instance: string): string {
  const { Status, StandardOutputContent = '', StandardErrorContent = '' } = answer;
  if (Status === 'Success') return StandardOutputContent;
  throw new ToolError('AWS', `A command on ${instance} ended as ${Status}: ${StandardErrorContent.trim()}`);
}
