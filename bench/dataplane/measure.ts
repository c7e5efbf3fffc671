/** What is measured between the pods, by iperf3 and ping. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab, Place } from './lab.ts';

/** Gbit/s of TCP from the first pod to the second, or back. */
export async function tcpRate(lab: Lab, streams: number, seconds: number, back = false): Promise<number> {
  const args = ['-P', String(streams), '-t', String(seconds), '-O', '0.5', ...(back ? ['-R'] : [])];
  const { end } = await iperf(lab, args);
  return end.sum_received.bits_per_second / 1e9;
}

export interface UdpRate {
  /** Datagrams received per second, in thousands. */
  readonly received: number;
  /** Percent. */
  readonly lost: number;
}

/** Datagrams of `bytes` as fast as they go, or at `megabits` per second. */
export async function udpRate(lab: Lab, bytes: number, seconds: number, megabits = 0): Promise<UdpRate> {
  const { end } = await iperf(lab, ['-u', '-b', `${megabits}M`, '-l', String(bytes), '-t', String(seconds)]);
  const { packets, lost_packets: lost } = end.sum;
  return { received: (packets - lost) / end.sum.seconds / 1000, lost: (100 * lost) / packets };
}

/** Milliseconds. */
export function roundTrip(lab: Lab, count: number): number {
  const [a, b] = lab.sides;
  const output = inside(a.pod, 'ping', '-n', '-q', '-i', '0.01', '-c', String(count), b.pod.address);
  const average = /= [\d.]+\/([\d.]+)\//.exec(output)?.[1];
  if (average === undefined) throw new Error(`ping gave no round trip:\n${output}`);
  return Number(average);
}

/** The first packets resolve addresses; a path that does not work shows here. */
export function warmUp(lab: Lab): void {
  const [a, b] = lab.sides;
  inside(a.pod, 'ping', '-n', '-q', '-i', '0.1', '-c', '3', '-w', '10', b.pod.address);
}

interface IperfReport {
  readonly end: {
    readonly sum_received: { readonly bits_per_second: number };
    readonly sum: { readonly packets: number; readonly lost_packets: number; readonly seconds: number };
  };
}

async function iperf(lab: Lab, args: readonly string[]): Promise<IperfReport> {
  const [a, b] = lab.sides;
  const server = spawn('nsenter', [`--net=${b.pod.netns}`, 'iperf3', '-s', '-1'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(server, 'exit');
  try {
    await listening(server);
    const client = spawn('nsenter', [`--net=${a.pod.netns}`, 'iperf3', '-J', '-c', b.pod.address, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    client.stdout.on('data', (data) => {
      output += data;
    });
    await once(client, 'close');
    const report = JSON.parse(output) as IperfReport & { error?: string };
    if (report.error !== undefined) throw new Error(`iperf3: ${report.error}`);
    return report;
  } finally {
    // The next server needs the port.
    server.kill('SIGKILL');
    await ended;
  }
}

/** iperf3 does not flush its "listening" into a pipe: ask the kernel for the port. */
async function listening(server: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (server.exitCode !== null) throw new Error(`The iperf3 server ended with ${server.exitCode}`);
    const table = execFileSync('cat', [`/proc/${server.pid}/net/tcp`, `/proc/${server.pid}/net/tcp6`], {
      encoding: 'utf8',
    });
    if (/:1451 [0-9A-F:]+ 0A/.test(table)) return; // port 5201, TCP_LISTEN
    await sleep(20);
  }
  throw new Error('The iperf3 server does not listen');
}

function inside({ netns }: Place, command: string, ...args: string[]): string {
  return execFileSync('nsenter', [`--net=${netns}`, command, ...args], { encoding: 'utf8' });
}
