/** Where a process's time goes, by perf(1) where it is there: each sample belongs to what its innermost known function does. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { start } from './processes.ts';

/** Samples a second and processor; odd, so that it does not keep step with timers. */
const FREQUENCY = 997;

/** Innermost first: a packet that the engine sends is carried by softirq, inside its system call, up to the other side's socket. */
const WORK: readonly (readonly [RegExp, string])[] = [
  [
    /^(?:__do_softirq|handle_softirqs|net_rx_action|__napi_poll|process_backlog)$/,
    'kernel: packets received in softirq',
  ],
  [/^(?:tun_get_user|tun_chr_write_iter)$/, 'write(v) to the device'],
  [/^(?:tun_do_read|tun_chr_read_iter|tun_put_user)$/, 'read from the device'],
  [/^(?:udp_sendmsg|____sys_sendmsg|___sys_sendmsg|__sys_sendmmsg|__sys_sendto)$/, 'sendmmsg on the socket'],
  [
    /^(?:udp_recvmsg|____sys_recvmsg|___sys_recvmsg|do_recvmmsg|__sys_recvmmsg|__sys_recvfrom)$/,
    'recvmmsg on the socket',
  ],
  [/^(?:do_sys_poll|do_poll|__x64_sys_poll|__se_sys_poll|__arm64_sys_poll|do_epoll_wait)$/, 'poll'],
];
const COPY = /copy_(?:to|from)_(?:user|iter)|rep_movs|copy_user|csum_partial_copy|_copy_(?:to|from)_iter|memcpy/;
const OTHER = 'kernel: other (entry, scheduling)';
const USER = 'user: JavaScript and WebAssembly';

export interface Sample {
  readonly thread: string;
  readonly pid: number;
  /** Innermost first; of the kernel only. */
  readonly kernel: readonly string[];
}

export function workOf({ kernel }: Sample): string {
  for (const frame of kernel) {
    const known = WORK.find(([pattern]) => pattern.test(frame));
    if (known !== undefined) return known[1];
  }
  return kernel.length === 0 ? USER : OTHER;
}

export function copies({ kernel }: Sample): boolean {
  return kernel.slice(0, 2).some((frame) => COPY.test(frame));
}

export function hasPerf(): boolean {
  return spawnSync('perf', ['--version'], { stdio: 'ignore' }).status === 0;
}

/** Samples all processors while `load` runs. */
export async function sampled(file: string, load: () => Promise<void>): Promise<Sample[]> {
  const args = ['record', '-q', '-a', '-g', '-e', 'cpu-clock', '-F', String(FREQUENCY), '-o', file];
  const perf = start(['perf', ...args], { stdio: 'ignore' });
  const ended = once(perf, 'exit');
  try {
    await load();
  } finally {
    perf.kill('SIGINT');
    await ended;
  }
  const script = spawnSync('perf', ['script', '-i', file, '-F', 'comm,pid,ip,sym'], {
    encoding: 'utf8',
    maxBuffer: 1 << 30,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return parseSamples(script.stdout);
}

/** A paragraph for each sample: a line "COMM PID", then "ADDRESS SYMBOL" for each frame. Addresses of the kernel begin with ffff. */
export function parseSamples(text: string): Sample[] {
  return text.split('\n\n').flatMap((paragraph) => {
    const [head = '', ...frames] = paragraph.split('\n').filter((line) => line.trim() !== '');
    const [, thread, pid] = /^\s*(.*?)\s+(\d+)\s*$/.exec(head) ?? [];
    if (thread === undefined) return [];
    const kernel = frames.flatMap((line) => /^\s*ffff\w+\s+([^\s+(]+)/.exec(line)?.[1] ?? []);
    return [{ thread, pid: Number(pid), kernel }];
  });
}
