/** Programs that send to peers from a node and see where it arrives, each in its namespace, with one clock for all. */
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { startIn } from '../dataplane/processes.ts';
import { type Backend, ENCAPSULATIONS } from './phantom.ts';

/**
 * Arguments: milliseconds between sweeps, and the addresses. Sends one datagram to each, and again, until it is ended. What
 * cannot be sent yet, since there is no route, is tried in the next sweep.
 */
const SENDER = `
const { createSocket } = require('node:dgram');
const [pause, ...addresses] = process.argv.slice(1);
const socket = createSocket('udp4');
const sweep = (from) => {
  for (let i = from; i < addresses.length; i++) {
    socket.send('x', 9, addresses[i], () => {});
    if ((i + 1) % 200 === 0) return setImmediate(sweep, i + 1); // let the socket's queue run empty
  }
  setTimeout(sweep, Number(pause), 0);
};
sweep(0);
`;

/**
 * Arguments: a port, where the inner packet begins in a datagram, and addresses of this namespace. Listens at each for what
 * nodes send, and writes a line for each change: nanoseconds of the monotonic clock, the inner destination, and the address at
 * which it arrived.
 */
const RECEIVER = `
const { createSocket } = require('node:dgram');
const last = new Map();
const [port, offset, ...addresses] = process.argv.slice(1);
const destination = Number(offset) + 16;
for (const address of addresses) {
  const socket = createSocket('udp4');
  socket.on('message', (packet) => {
    const inner = packet.readUInt32BE(destination);
    if (last.get(inner) === address) return;
    last.set(inner, address);
    process.stdout.write(process.hrtime.bigint() + ' ' + packet.subarray(destination, destination + 4).join('.') + ' ' + address + '\\n');
  });
  socket.bind({ port: Number(port), address });
}
`;

export interface Arrival {
  /** Of the monotonic clock, which all processes share. */
  readonly ms: number;
  readonly inside: string;
  /** Public address of the peer, or "0.0.0.0" for a receiver at all addresses. */
  readonly at: string;
}

export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export function startSender(netns: string, pauseMs: number, addresses: readonly string[]): ChildProcess {
  const command = [process.execPath, '-e', SENDER, String(pauseMs), ...addresses];
  return startIn({ netns }, command, { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Calls back for the first packet to each inner destination, and for each that arrives elsewhere than the one before. */
export function startReceiver(
  netns: string,
  backend: Backend,
  addresses: readonly string[],
  onArrival: (arrival: Arrival) => void,
): ChildProcess {
  const { port, offset } = ENCAPSULATIONS[backend];
  const command = [process.execPath, '-e', RECEIVER, String(port), String(offset), ...addresses];
  const child = startIn({ netns }, command, { stdio: ['ignore', 'pipe', 'inherit'] });
  createInterface({ input: child.stdout! }).on('line', (line) => {
    const [nanoseconds = '', inside = '', at = ''] = line.split(' ');
    onArrival({ ms: Number(BigInt(nanoseconds)) / 1e6, inside, at });
  });
  return child;
}
