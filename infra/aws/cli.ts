/** The aws command, which finds the user's credentials in all the ways that there are. */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { InfraError } from '../errors.ts';

/** Runs `aws ARGS --output json`, and gives what it prints; undefined if that is no JSON, as of commands that report progress. */
export type Aws = (args: readonly string[], signal?: AbortSignal) => Promise<unknown>;

export function awsCli(region: string, env: NodeJS.ProcessEnv): Aws {
  return async (args, signal) => {
    const all = [...args, '--region', region, '--output', 'json', '--no-cli-pager'];
    const child = spawn('aws', all, { stdio: ['ignore', 'pipe', 'pipe'], env, ...(signal && { signal }) });
    const closed = new Promise<number | null>((resolve, reject) => {
      child.once('error', (error) => reject(explained(error)));
      child.once('close', resolve);
    });
    const [said, complaint, code] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
    if (code === 0) return /^\s*[[{]/.test(said) ? JSON.parse(said) : undefined;
    throw new InfraError('AWS', `"aws ${args.slice(0, 2).join(' ')}" ended with ${code}: ${complaint.trim()}`);
  };
}

function explained(error: NodeJS.ErrnoException): Error {
  if (error.code !== 'ENOENT') return error;
  return new InfraError('AWS', 'There is no command aws: install the AWS CLI (https://aws.amazon.com/cli)');
}
