/** Programs that the benchmark needs, most of them in the namespaces of a laboratory. */
import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from 'node:child_process';

export interface Netns {
  /** A path. */
  readonly netns: string;
}

/** It does not outlive the benchmark, however that ends. The number of the process is the program's own. */
export function start(command: readonly string[], options: SpawnOptions): ChildProcess {
  return spawn('setpriv', ['--pdeathsig', 'KILL', ...command], options);
}

/** As start(). */
export function startIn({ netns }: Netns, command: readonly string[], options: SpawnOptions): ChildProcess {
  return start(['nsenter', `--net=${netns}`, ...command], options);
}

/** What the program wrote. */
export function runIn({ netns }: Netns, command: readonly string[], env = process.env): string {
  return execFileSync('nsenter', [`--net=${netns}`, ...command], {
    encoding: 'utf8',
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}
