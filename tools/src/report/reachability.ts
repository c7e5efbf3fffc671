/** Which pods reach each other: ping(8) from every pod to every other. */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PodOutput } from './outputs.ts';
import { formatTable } from './table.ts';

/** Round-trip time in milliseconds, undefined if no answer came. */
export type Ping = (from: PodOutput, to: PodOutput) => Promise<number | undefined>;
export type Matrix = readonly (readonly (number | undefined)[])[];

export interface Reachability {
  readonly pods: readonly PodOutput[];
  /** Rows and columns in the order of `pods`. The diagonal is unused. */
  readonly matrix: Matrix;
}

/** More of them make a table that nobody reads; beyond it one pod stands for each node. */
const MAX_PODS = 16;
const AT_A_TIME = 8;
const RETRY_PAUSE_MS = 500;
const PACKETS = 3;

export interface MeasureOptions {
  readonly ping?: Ping;
  /** Pairs that do not answer are asked again until then: the last node's routes may still be on their way. */
  readonly patienceMs?: number;
}

export async function measure(all: readonly PodOutput[], options: MeasureOptions = {}): Promise<Reachability> {
  const { ping = pingPods, patienceMs = 0 } = options;
  const pods = all.length <= MAX_PODS ? all : onePerNode(all).slice(0, MAX_PODS);
  const matrix: (number | undefined)[][] = pods.map(() => pods.map(() => undefined));
  const deadline = Date.now() + patienceMs;
  let open = pods.flatMap((_, i) => pods.map((_, j) => [i, j] as const)).filter(([i, j]) => i !== j);
  for (;;) {
    await eachAtATime(AT_A_TIME, open, async ([i, j]) => {
      matrix[i]![j] = await ping(pods[i]!, pods[j]!);
    });
    open = open.filter(([i, j]) => matrix[i]![j] === undefined);
    if (open.length === 0 || Date.now() >= deadline) return { pods, matrix };
    await sleep(RETRY_PAUSE_MS);
  }
}

export interface Pair {
  readonly from: PodOutput;
  readonly to: PodOutput;
}

export function unreachablePairs({ pods, matrix }: Reachability): Pair[] {
  return pods.flatMap((from, i) =>
    pods.filter((_, j) => i !== j && matrix[i]![j] === undefined).map((to) => ({ from, to })),
  );
}

/** As many columns side by side as the width allows, the others below. */
export function formatReachability({ pods, matrix }: Reachability, width = Number.POSITIVE_INFINITY): string {
  const names = pods.map(({ name }) => name);
  const cells = matrix.map((row, i) => row.map((time, j) => (i === j ? '-' : formatTime(time))));
  const column = Math.max(...[...names, ...cells.flat()].map((text) => text.length)) + GAP;
  const side = Math.max(1, Math.min(pods.length, Math.floor((width - INDENT) / column) - 1));
  const tables = Array.from({ length: Math.ceil(pods.length / side) }, (_, i) => {
    const part = <T>(row: readonly T[]): readonly T[] => row.slice(i * side, (i + 1) * side);
    return formatTable([['ms', ...part(names)], ...names.map((name, from) => [name, ...part(cells[from]!)])]);
  });
  return tables.join('\n\n');
}

/** Of formatTable(). */
const GAP = 2;
const INDENT = 2;

function formatTime(ms: number | undefined): string {
  return ms === undefined ? 'none' : ms.toFixed(ms < 10 ? 2 : 0);
}

function onePerNode(pods: readonly PodOutput[]): PodOutput[] {
  return [...new Map([...pods].reverse().map((pod) => [pod.node, pod])).values()].reverse();
}

const pingPods: Ping = async (from, to) => {
  const args = [`--net=${from.netns}`, 'ping', '-n', '-q', '-c', `${PACKETS}`, '-i', '0.05', '-W', '1', to.address];
  const child = spawn('nsenter', args, { stdio: ['ignore', 'pipe', 'ignore'], env: { ...process.env, LC_ALL: 'C' } });
  const failed = new Promise<string>((resolve) => child.once('error', () => resolve('')));
  return parsePing(await Promise.race([text(child.stdout), failed]));
};

/** The smallest of the times: the first packet also waits for ARP. */
export function parsePing(output: string): number | undefined {
  const match = /^rtt min\/avg\/max\/mdev = ([\d.]+)\//m.exec(output);
  return match ? Number(match[1]) : undefined;
}

async function eachAtATime<T>(limit: number, items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const worker = async () => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: limit }, worker));
}
