/** Asks, at the socket where a service hands over to another of its kind, who serves (docs/operating.md). */
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Greeting {
  readonly pid: number;
  readonly state: string;
}

const TIMEOUT_MS = 2_000;
const POLL_MS = 50;

/** Undefined when nobody answers who can hand over. */
export function askGreeting(socket: string): Promise<Greeting | undefined> {
  return new Promise((resolve) => {
    let text = '';
    const connection = connect(socket).setEncoding('utf8').setTimeout(TIMEOUT_MS);
    connection.on('data', (piece: string) => {
      text += piece;
      if (text.includes('\n')) connection.destroy();
    });
    connection.once('timeout', () => connection.destroy());
    connection.on('error', () => {}); // it is closed, too
    connection.once('close', () => resolve(parse(text)));
  });
}

/** Resolves with true when the process with this pid is the one that serves. */
export async function untilServing(socket: string, pid: number, signal: AbortSignal): Promise<boolean> {
  while (!signal.aborted) {
    const greeting = await askGreeting(socket);
    if (greeting?.pid === pid && greeting.state === 'serving') return true;
    await sleep(POLL_MS, undefined, { signal }).catch(() => {});
  }
  return false;
}

function parse(text: string): Greeting | undefined {
  try {
    const { pid, state } = JSON.parse(text.split('\n')[0]!);
    return typeof pid === 'number' && typeof state === 'string' ? { pid, state } : undefined;
  } catch {
    return undefined;
  }
}
