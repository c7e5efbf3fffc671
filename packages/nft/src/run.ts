import { spawn } from 'node:child_process';
import { NFT_TIMEOUT_MS, type NftOutcome, nftEnvironment, notFound, timedOut } from './outcome.ts';

export interface NftOptions {
  /** Path of the network namespace to work in; the caller's own when absent. */
  readonly netns?: string;
  readonly signal?: AbortSignal;
}

/** Runs nft to its end. The exit code is the caller's to judge. */
export function runNft(args: readonly string[], input: string, options: NftOptions = {}): Promise<NftOutcome> {
  const command = options.netns ? ['nsenter', `--net=${options.netns}`, 'nft', ...args] : ['nft', ...args];
  const program = command[0]!;
  return new Promise((resolve, reject) => {
    const child = spawn(program, command.slice(1), {
      env: nftEnvironment(),
      stdio: 'pipe',
      timeout: NFT_TIMEOUT_MS,
      killSignal: 'SIGKILL',
      ...(options.signal && { signal: options.signal }),
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    // nft may refuse before it has read everything.
    child.stdin.on('error', () => {});
    child.once('error', (error: NodeJS.ErrnoException) => {
      reject(error.code === 'ENOENT' ? notFound(program, error) : error);
    });
    child.once('close', (code, signal) => {
      if (code === null) reject(timedOut(program, signal));
      else resolve({ code, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() });
    });
    child.stdin.end(input);
  });
}
