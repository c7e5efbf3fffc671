/**
 * A request and its response over one TCP connection, as netperf's TCP_RR: one byte each way, blocking calls, nothing else in
 * the process. Run inside a pod's namespace as "server ADDRESS PORT", or as "client ADDRESS PORT SECONDS", which prints
 * RoundTrips as JSON.
 */
import { parseIp } from '@flannel-ts/inet/ip';
import { isErrno } from '@flannel-ts/linux/errors';
import { closeFd } from '@flannel-ts/linux/files';
import {
  AF_INET,
  accept,
  bind,
  connect,
  listen,
  recv,
  SO_RCVTIMEO,
  SOCK_STREAM,
  sendTo,
  setSocketOption,
  setSocketTimeout,
  sockaddrIn,
  socket,
} from '@flannel-ts/linux/socket';

export interface RoundTrips {
  /** With those of the warm-up. */
  readonly count: number;
  readonly perSecond: number;
  /** Microseconds. */
  readonly median: number;
  readonly p90: number;
  readonly p99: number;
}

const IPPROTO_TCP = 6; // linux/in.h
const TCP_NODELAY = 1; // linux/tcp.h
const WARM_UP_MS = 200;
const GIVE_UP_MS = 5000;

function serve(address: Uint8Array): void {
  const listening = socket(AF_INET, SOCK_STREAM);
  bind(listening, address);
  listen(listening);
  const connection = accept(listening);
  prepare(connection);
  const byte = new Uint8Array(1);
  while (recv(connection, byte) === 1) sendTo(connection, byte);
  closeFd(connection);
}

function ask(address: Uint8Array, seconds: number): RoundTrips {
  const connection = connected(address);
  const byte = new Uint8Array(1);
  const times: number[] = [];
  let count = 0;
  const start = performance.now() + WARM_UP_MS;
  const end = start + seconds * 1000;
  for (let before = performance.now(); before < end; ) {
    sendTo(connection, byte);
    if (recv(connection, byte) !== 1) throw new Error('The server closed the connection');
    const after = performance.now();
    count++;
    if (before >= start) times.push(after - before);
    before = after;
  }
  closeFd(connection);
  const sorted = Float64Array.from(times).sort();
  const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))]! * 1000;
  return { count, perSecond: times.length / seconds, median: at(0.5), p90: at(0.9), p99: at(0.99) };
}

/** The server may not listen yet. */
function connected(address: Uint8Array): number {
  for (const start = performance.now(); ; ) {
    const connection = socket(AF_INET, SOCK_STREAM);
    try {
      connect(connection, address);
      prepare(connection);
      return connection;
    } catch (error) {
      closeFd(connection);
      if (!isErrno(error, 'ECONNREFUSED') || performance.now() - start > GIVE_UP_MS) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    }
  }
}

function prepare(connection: number): void {
  setSocketOption(connection, IPPROTO_TCP, TCP_NODELAY, 1);
  setSocketTimeout(connection, SO_RCVTIMEO, GIVE_UP_MS);
}

const [role, host = '', port, seconds] = process.argv.slice(2);
const target = sockaddrIn(parseIp(host, 4), Number(port));
if (role === 'server') serve(target);
else process.stdout.write(JSON.stringify(ask(target, Number(seconds))));
