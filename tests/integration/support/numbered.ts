/** Numbered datagrams between two places, both ways at the same time, counted at the end: what was lost and when, and in which order the rest came. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

const PROGRAM = path.join(__dirname, '../../fixtures/numbered.mjs');
const PORT = 7100;

export interface Place {
  /** Path. */
  readonly netns: string;
  readonly address: string;
}

export interface Journey {
  readonly sent: number;
  /** When each lost one was sent, in milliseconds of now(). */
  readonly lost: readonly number[];
  readonly duplicates: number;
  /** How many came after a later one. */
  readonly late: number;
}

export interface NumberedOptions {
  readonly flows?: number;
  readonly everyMs?: number;
  /** For so long after the last one is sent, those on their way may arrive. */
  readonly settleMs?: number;
  /** Whether each flow has passed both ways before the first one is sent: the kernel may move a flow to another queue then. */
  readonly greet?: boolean;
}

/** Of the clock that `Journey.lost` has. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Sends until the function is called that it resolves to, which gives a journey for each flow: from a, then from b. */
export async function startNumbered(
  a: Place,
  b: Place,
  { flows = 1, everyMs = 10, settleMs = 1000, greet = false }: NumberedOptions = {},
): Promise<() => Promise<readonly Journey[]>> {
  const start = (own: Place, peer: Place) => {
    const numbers = [own.address, peer.address, PORT, flows, everyMs, settleMs].map(String);
    return spawn('nsenter', [`--net=${own.netns}`, process.execPath, PROGRAM, ...numbers, ...(greet ? ['greet'] : [])]);
  };
  const ends = [start(a, b), start(b, a)] as const;
  await Promise.all(ends.map(untilListening));
  for (const { stdin } of ends) stdin.write('\n');
  return async () => {
    const reports = ends.map(report);
    for (const { stdin } of ends) stdin.end();
    const [ofA, ofB] = (await Promise.all(reports)) as [Report, Report];
    return [
      ...ofA.map(({ sentAt }, flow) => judge(sentAt, ofB[flow]!.received)),
      ...ofB.map(({ sentAt }, flow) => judge(sentAt, ofA[flow]!.received)),
    ];
  };
}

type Report = readonly { readonly sentAt: readonly number[]; readonly received: readonly number[] }[];

async function untilListening(child: ChildProcessWithoutNullStreams): Promise<void> {
  let complaints = '';
  child.stderr.on('data', (chunk) => {
    complaints += chunk;
  });
  const ended = once(child, 'exit').then(() => {
    throw new Error(`The sender of numbered datagrams ended: ${complaints}`);
  });
  await Promise.race([once(child.stdout, 'data'), ended]);
  ended.catch(() => {}); // later it may end
}

async function report(child: ChildProcessWithoutNullStreams): Promise<Report> {
  let text = '';
  child.stdout.on('data', (chunk) => {
    text += chunk;
  });
  await once(child, 'close');
  return JSON.parse(text);
}

export function judge(sentAt: readonly number[], received: readonly number[]): Journey {
  const seen = new Set<number>();
  let highest = -1;
  let [late, duplicates] = [0, 0];
  for (const number of received) {
    if (seen.has(number)) duplicates++;
    else if (number < highest) late++;
    seen.add(number);
    highest = Math.max(highest, number);
  }
  return { sent: sentAt.length, lost: sentAt.filter((_, number) => !seen.has(number)), duplicates, late };
}

/** Shown beside the results of the tests: a bound that holds says little of how far away it was. */
export function printJourneys(what: string, journeys: readonly Journey[]): void {
  const parts = journeys.map(({ sent, lost }) => {
    const span = lost.length > 1 ? ` within ${Math.round(lost.at(-1)! - lost[0]!)} ms` : '';
    return `${lost.length} of ${sent} lost${span}`;
  });
  process.stderr.write(`${what}: ${parts.join('; ')}\n`);
}
