/** Bytes from pod to pod over TCP, with their SHA-256 at both ends. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Place } from '../../../bench/dataplane/lab.ts';
import { startIn } from '../../../bench/dataplane/processes.ts';

const PROGRAM = join(__dirname, 'stream.mjs');
export const MEBIBYTE = 1 << 20;

export interface StreamEnds {
  readonly sent: { readonly bytes: number; readonly sha256: string };
  readonly arrived: { readonly bytes: number; readonly sha256: string };
}

export async function stream(from: Place, to: Place, bytes: number, port = 7000): Promise<StreamEnds> {
  const receiver = start(to, ['receive', to.address, String(port)]);
  const sender: ChildProcess[] = [];
  try {
    const arrived = lines(receiver);
    await arrived.next(); // it listens
    sender.push(start(from, ['send', to.address, String(port), String(bytes), from.address]));
    const sent = await lines(sender[0]!).next();
    return { sent: JSON.parse(sent.value), arrived: JSON.parse((await arrived.next()).value) };
  } finally {
    await Promise.all([receiver, ...sender].map(end));
  }
}

/** One after the other. */
export async function streamEachWay(a: Place, b: Place, bytes: number): Promise<readonly StreamEnds[]> {
  return [await stream(a, b, bytes), await stream(b, a, bytes)];
}

export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

function start(place: Place, args: readonly string[]): ChildProcess {
  return startIn(place, [process.execPath, PROGRAM, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
}

function lines(child: ChildProcess): AsyncIterator<string> {
  return createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
}
