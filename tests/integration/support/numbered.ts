/** Numbered datagrams between two places, both ways at the same time, counted at the end: what was lost and when, and in which order the rest came. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';

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
  /** So long those that are missing are waited for once both have sent all of theirs and the way is open: what was overtaken may still arrive. */
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
  const ends = [start(a, b), start(b, a)].map(listenTo);
  const [ofA, ofB] = ends as [End, End];
  const each = async (word: string): Promise<readonly string[]> => {
    for (const end of ends) end.say(word);
    return Promise.all(ends.map((end) => end.hear()));
  };
  try {
    await Promise.all(ends.map((end) => end.hear()));
  } catch (error) {
    await Promise.all(ends.map((end) => end.end()));
    throw error;
  }
  for (const end of ends) end.say('start');
  return async () => {
    // Neither end counts before the other one has sent its last datagram, however late it comes to that.
    await each('stop');
    const [reportOfA, reportOfB] = (await each('settle')).map((line) => JSON.parse(line)) as [Report, Report];
    await Promise.all([ofA.end(), ofB.end()]);
    return [
      ...reportOfA.map(({ sentAt }, flow) => judge(sentAt, reportOfB[flow]!.received)),
      ...reportOfB.map(({ sentAt }, flow) => judge(sentAt, reportOfA[flow]!.received)),
    ];
  };
}

type Report = readonly { readonly sentAt: readonly number[]; readonly received: readonly number[] }[];

interface End {
  say(word: string): void;
  /** The next line it says. */
  hear(): Promise<string>;
  end(): Promise<void>;
}

function listenTo(child: ChildProcessWithoutNullStreams): End {
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const closed = once(child, 'close');
  let complaints = '';
  child.stderr.on('data', (chunk) => {
    complaints += chunk;
  });
  child.stdin.on('error', () => {}); // hear() tells why it has ended
  return {
    say: (word) => void child.stdin.write(`${word}\n`),
    hear: async () => {
      const { value, done } = await lines.next();
      if (!done) return value;
      await closed;
      throw new Error(`The sender of numbered datagrams ended: ${complaints}`);
    },
    end: async () => {
      child.stdin.end();
      await closed;
    },
  };
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
