/** `flanneld status`: what the running daemon says of itself, as a table or as JSON. */
import { readJsonObject } from '@flannel-ts/flannel/go-json';
import { sleep } from '../abort.ts';
import { type Answer, askDaemon } from './ask.ts';
import { fileOf, findDaemons, type RunningDaemon } from './daemons.ts';
import type { CommandResult } from './result.ts';
import { formatStatus } from './show/status-text.ts';
import { socketOf } from './socket.ts';
import type { Status } from './status.ts';

/** Exit codes; 2 is wrong usage, for every command. */
export const STATUS_EXITS = { ready: 0, notReady: 1, noDaemon: 3, noAnswer: 4 } as const;

export interface StatusRequest {
  readonly subnetFile: string;
  /** Somebody chose it, so that no other is looked for. */
  readonly isChosen: boolean;
  readonly json: boolean;
  /** Until it is ready; undefined: once. */
  readonly waitMs: number | undefined;
  /** Columns of the terminal. */
  readonly width: number;
}

export type Found =
  | { readonly kind: 'status'; readonly status: Status }
  | { readonly kind: 'none'; readonly exit: number; readonly sentence: string };

const ANSWER_MS = 3000;
const POLL_MS = 500;

export async function runStatus(asked: StatusRequest, signal: AbortSignal): Promise<CommandResult> {
  const end = performance.now() + (asked.waitMs ?? 0);
  let found = await look(asked);
  while (!isReady(found) && performance.now() < end && !signal.aborted) {
    await sleep(POLL_MS, signal);
    found = await look(asked);
  }
  const waited = asked.waitMs === undefined ? '' : ` after ${Math.round(asked.waitMs / 1000)} s of waiting`;
  if (found.kind === 'none') {
    const { exit, sentence } = found;
    const output = asked.json
      ? toJson({ ready: false, running: exit !== STATUS_EXITS.noDaemon, problem: sentence })
      : '';
    return { exit, output, sentence: `${sentence}${waited}` };
  }
  const { status } = found;
  const output = asked.json ? toJson(status) : `${formatStatus(status, asked.width, Date.now())}\n`;
  if (status.ready) return { exit: STATUS_EXITS.ready, output };
  return { exit: STATUS_EXITS.notReady, output, ...(waited && { sentence: `Still not ready${waited}` }) };
}

function askStatus(subnetFile: string): Promise<Answer> {
  return askDaemon(socketOf(subnetFile), '/status', ANSWER_MS);
}

function isReady(found: Found): boolean {
  return found.kind === 'status' && found.status.ready;
}

/** What the daemon says now, or one sentence on why it says nothing. */
export async function look(asked: Pick<StatusRequest, 'subnetFile' | 'isChosen'>): Promise<Found> {
  const first = await askStatus(asked.subnetFile);
  if (first.kind !== 'absent') return read(first, asked.subnetFile);
  const daemons = findDaemons();
  const other = asked.isChosen ? undefined : onlyOther(daemons);
  if (other === undefined) return absent(asked, daemons);
  const second = await askStatus(other);
  return second.kind === 'absent' ? absent({ ...asked, subnetFile: other }, daemons) : read(second, other);
}

/** Where one daemon runs, and with another file than the default, nobody has to say which is meant. */
function onlyOther(daemons: readonly RunningDaemon[]): string | undefined {
  return daemons.length === 1 ? daemons[0]!.subnetFile : undefined;
}

function read(answer: Exclude<Answer, { kind: 'absent' }>, subnetFile: string): Found {
  switch (answer.kind) {
    case 'answer': {
      const status = readJsonObject(answer.text) as unknown as Status | undefined;
      if (typeof status?.ready === 'boolean' && Array.isArray(status.troubles)) return { kind: 'status', status };
      return none(STATUS_EXITS.noAnswer, `What listens at ${socketOf(subnetFile)} is no flanneld of this version`);
    }
    case 'silent': {
      const who = findDaemons().find((daemon) => fileOf(daemon) === subnetFile);
      const name = who === undefined ? 'flanneld' : `flanneld (process ${who.pid})`;
      const why = who?.isStopped
        ? `it was stopped by a signal: continue it with "kill -CONT ${who.pid}"`
        : 'it is frozen or overloaded: restart it';
      return none(
        STATUS_EXITS.noAnswer,
        `${name} does not answer within ${ANSWER_MS / 1000} s, though packets may still flow: ${why}`,
      );
    }
    case 'failed':
      return none(STATUS_EXITS.noAnswer, `Cannot ask flanneld: ${answer.reason}`);
  }
}

function absent({ subnetFile }: Pick<StatusRequest, 'subnetFile'>, daemons: readonly RunningDaemon[]): Found {
  const same = daemons.find((daemon) => fileOf(daemon) === subnetFile);
  if (same !== undefined) {
    return none(
      STATUS_EXITS.noAnswer,
      `flanneld (process ${same.pid}) runs and cannot be asked: it is starting, is flannel's own or an earlier version, or has lost ${socketOf(subnetFile)}`,
    );
  }
  const others = daemons.map((daemon) => `${fileOf(daemon)} (process ${daemon.pid})`);
  const choice = others.length === 0 ? 'start it' : `choose another with -subnet-file: ${others.join(', ')}`;
  return none(STATUS_EXITS.noDaemon, `No flanneld runs here with the subnet file ${subnetFile}: ${choice}`);
}

function none(exit: number, sentence: string): Found {
  return { kind: 'none', exit, sentence };
}

function toJson(value: object): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
