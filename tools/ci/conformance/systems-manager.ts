/** Commands on machines of an account, by Systems Manager and the aws CLI: there is no other way in. */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { ToolError } from '../../setup/errors.mjs';

/** Runs `aws ARGS --output json`, and gives what it prints. */
export type Aws = (args: readonly string[], signal?: AbortSignal) => Promise<unknown>;

const POLL_MS = 2_000;
/** How long a command may take from when it is sent. */
const COMMAND_SECONDS = 900;
const UNFINISHED = ['Pending', 'InProgress', 'Delayed', 'Cancelling'];

interface Invocation {
  readonly Status: string;
  readonly StandardOutputContent?: string;
  readonly StandardErrorContent?: string;
}

export function awsCli(region: string, env: NodeJS.ProcessEnv): Aws {
  return async (args, signal) => {
    const all = [...args, '--region', region, '--output', 'json', '--no-cli-pager'];
    const child = spawn('aws', all, { stdio: ['ignore', 'pipe', 'pipe'], env, ...(signal && { signal }) });
    const closed = new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    const [said, complaint, code] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
    if (code === 0) return said.trim() === '' ? undefined : JSON.parse(said);
    throw new ToolError('AWS', `"aws ${args.slice(0, 2).join(' ')}" ended with ${code}: ${complaint.trim()}`);
  };
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
