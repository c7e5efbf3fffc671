/** A script for sh in namespaces of its own, with an empty /run: what it starts, makes and names ends with it. */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';

const ENTER = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
const INIT = 'mount --make-rprivate / && mount -t tmpfs tmpfs /run && ip link set lo up && exec sh -s';

export interface PrivateOptions {
  readonly script: string;
  /** A directory with programs that the script calls by their names. */
  readonly programs: string;
  readonly timeoutMs: number;
}

/** What it printed, a line each; so far when the time is over. */
export async function runInPrivate({ script, programs, timeoutMs }: PrivateOptions): Promise<string[]> {
  const env = { ...process.env, PATH: `${programs}:${process.env.PATH}` };
  const child = spawn('unshare', [...ENTER, 'sh', '-c', INIT], { env, stdio: ['pipe', 'pipe', 'inherit'] });
  // unshare itself waits through every other signal.
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  try {
    child.stdin.end(script);
    return (await text(child.stdout)).trimEnd().split('\n');
  } finally {
    clearTimeout(timer);
  }
}
