/** What is measured between the pods, by iperf3, ping and the round-trip program. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab, Place } from './lab.ts';
import { runIn, startIn } from './processes.ts';
import type { RoundTrips } from './round-trip.ts';

export interface TcpRate {
  /** Gbit/s that arrived, of both directions together. */
  readonly rate: number;
  readonly gigabytes: number;
}

/** From the first pod to the second, back, or both at once. */
export type Direction = 'there' | 'back' | 'both';

const DIRECTION_FLAGS: Readonly<Record<Direction, readonly string[]>> = { there: [], back: ['-R'], both: ['--bidir'] };

/** `seconds`: a whole number, iperf3 knows no other. */
export async function tcpRate(
  lab: Lab,
  streams: number,
  seconds: number,
  direction: Direction = 'there',
): Promise<TcpRate> {
  const { end } = await iperf(lab, ['-P', String(streams), '-t', String(seconds), ...DIRECTION_FLAGS[direction]]);
  const sums = [end.sum_received, ...(direction === 'both' ? [end.sum_received_bidir_reverse] : [])];
  return {
    rate: sums.reduce((sum, { bits_per_second }) => sum + bits_per_second, 0) / 1e9,
    gigabytes: sums.reduce((sum, { bytes }) => sum + bytes, 0) / 1e9,
  };
}

export interface UdpRate {
  /** Datagrams per second that arrived, in thousands. */
  readonly received: number;
  /** Percent of those that were sent. */
  readonly lost: number;
  /** Percent of those that were sent: arrived, but the buffer of the receiving program was full. */
  readonly unread: number;
}

/** Datagrams of `bytes` at so many thousand a second, or as fast as the sender can (0). */
export async function udpRate(lab: Lab, bytes: number, seconds: number, thousands = 0): Promise<UdpRate> {
  const bitrate = Math.round(thousands * 1000 * bytes * 8);
  const before = fullBuffers(lab.sides[1].pod);
  const { end } = await iperf(lab, ['-u', '-b', String(bitrate), '-l', String(bytes), '-t', String(seconds)]);
  const { packets, lost_packets: lost } = end.sum;
  const unread = fullBuffers(lab.sides[1].pod) - before;
  return {
    received: (packets - lost) / end.sum.seconds / 1000,
    lost: (100 * lost) / packets,
    unread: (100 * unread) / packets,
  };
}

/** Datagrams that a socket in this place had no room for, so far: RcvbufErrors of /proc/net/snmp. */
function fullBuffers(place: Place): number {
  const lines = runIn(place, ['cat', '/proc/net/snmp']).split('\n');
  const [names, values] = lines.filter((line) => line.startsWith('Udp: ')).map((line) => line.split(' '));
  return Number(values![names!.indexOf('RcvbufErrors')]);
}

/** Milliseconds, as is `intervalMs`. */
export function pingTime(lab: Lab, intervalMs: number, count: number): number {
  const [a, b] = lab.sides;
  const interval = String(intervalMs / 1000);
  const output = runIn(a.pod, ['ping', '-n', '-q', '-i', interval, '-c', String(count), b.pod.address]);
  const average = /= [\d.]+\/([\d.]+)\//.exec(output)?.[1];
  if (average === undefined) throw new Error(`ping gave no round trip:\n${output}`);
  return Number(average);
}

/** Of a single measurement, which takes seconds: on a path that has come to a stop it would wait without end. */
const GIVE_UP_MS = 60_000;
const ROUND_TRIP_PORT = 5202;

/** `program`: the bundle of round-trip.ts. */
export async function tcpRoundTrips(lab: Lab, program: string, seconds: number): Promise<RoundTrips> {
  const [a, b] = lab.sides;
  const address = [b.pod.address, String(ROUND_TRIP_PORT)];
  const server = startIn(b.pod, [process.execPath, program, 'server', ...address], { stdio: 'inherit' });
  const ended = once(server, 'exit');
  try {
    const client = [process.execPath, program, 'client', ...address, String(seconds)];
    return JSON.parse(await outputOf(a.pod, client)) as RoundTrips;
  } finally {
    server.kill('SIGKILL');
    await ended;
  }
}

/** The first packets resolve addresses; a path that does not work shows here. */
export function warmUp(lab: Lab): void {
  const [a, b] = lab.sides;
  runIn(a.pod, ['ping', '-n', '-q', '-i', '0.1', '-c', '3', '-w', '10', b.pod.address]);
}

interface Sum {
  readonly bits_per_second: number;
  readonly bytes: number;
}

interface IperfReport {
  readonly error?: string;
  readonly end: {
    readonly sum_received: Sum;
    readonly sum_received_bidir_reverse: Sum;
    readonly sum: { readonly packets: number; readonly lost_packets: number; readonly seconds: number };
  };
}

async function iperf(lab: Lab, args: readonly string[]): Promise<IperfReport> {
  const [a, b] = lab.sides;
  const server = startIn(b.pod, ['iperf3', '-s', '-1'], { stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = once(server, 'exit');
  try {
    await listening(server);
    const report = JSON.parse(await outputOf(a.pod, ['iperf3', '-J', '-c', b.pod.address, ...args])) as IperfReport;
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
  for (let tries = 0; tries < 500; tries++) {
    if (server.exitCode !== null) throw new Error(`The iperf3 server ended with ${server.exitCode}`);
    const tables = ['tcp', 'tcp6'].map((name) => readFileSync(`/proc/${server.pid}/net/${name}`, 'utf8'));
    if (/:1451 [0-9A-F:]+ 0A/.test(tables.join(''))) return; // port 5201, TCP_LISTEN
    await sleep(10);
  }
  throw new Error('The iperf3 server does not listen');
}

async function outputOf(place: Place, command: readonly string[]): Promise<string> {
  const child = startIn(place, command, {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: GIVE_UP_MS,
    killSignal: 'SIGKILL',
  });
  let complaints = '';
  child.stderr!.on('data', (data) => {
    complaints += data;
  });
  let output = '';
  child.stdout!.on('data', (data) => {
    output += data;
  });
  const [code, signal] = await once(child, 'close');
  // A warning alone (iperf3 compares the size of datagrams with the MSS of TCP) is none of ours.
  if (output === '') throw new Error(`${command[0]} ended with ${code ?? signal}: ${complaints}`);
  return output;
}
