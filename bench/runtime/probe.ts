/**
 * What is measured, as one program for both runtimes: `probe MODE WORKER-SOURCE [ENDPOINT TLS-DIRECTORY]` writes its result as JSON.
 * Who measures is run.mjs.
 */
import { readFileSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { closeFd, O_RDWR, openFile, tryRead, tryReadAt, tryWrite } from '@flannel-ts/linux/files';
import { addressOf } from '@flannel-ts/linux/memory';
import { eventfd, POLLIN, PollSet } from '@flannel-ts/linux/poll';
import * as s from '@flannel-ts/linux/socket';
import { Etcd3 } from 'etcd3';

const [mode = '', workerFile = '', endpoint = '', tlsDirectory = ''] = process.argv.slice(2);

function startWorker(timeoutMs: number) {
  const [wake, answer] = [eventfd(), eventfd()];
  const stop = new Int32Array(new SharedArrayBuffer(4));
  // As the engine starts its worker (daemon/src/datapath/tun/engine/spawn.ts): from text, the one way that is the same in both runtimes.
  const prologue =
    process.versions.bun === undefined
      ? `globalThis.require = process.getBuiltinModule('node:module').createRequire(${JSON.stringify(process.argv[1])});\n`
      : '';
  const workerData = { wakeFd: wake.fd, answerFd: answer.fd, stopAt: stop.buffer, timeoutMs };
  const worker = new Worker(prologue + readFileSync(workerFile, 'utf8'), { eval: true, workerData });
  const answers = new PollSet([{ fd: answer.fd, events: POLLIN }]);
  return {
    worker,
    /** Blocks this thread until the worker has answered; false when it has not within 5 s. */
    answered: () => answers.wait(5000) > 0 && answer.drain(),
    signal: () => wake.signal(),
    async started() {
      while (!answer.drain()) await sleep(1); // a worker needs this thread's loop to start
    },
    async stop() {
      Atomics.store(stop, 0, 1);
      const exited = new Promise((resolve) => worker.once('exit', resolve));
      wake.signal();
      await exited;
    },
  };
}

const microseconds = () => Number(process.hrtime.bigint()) / 1000;

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1]!;
}

/** Nanoseconds per call: the median of 9 rounds after a warm-up. */
function perCall(call: () => number, calls = 100_000): number {
  const rounds: number[] = [];
  let total = 0; // used below, or an optimizing compiler could leave the call out
  for (let round = 0; round < 12; round++) {
    const start = microseconds();
    for (let i = 0; i < calls; i++) total += call();
    if (round > 2) rounds.push(((microseconds() - start) * 1000) / calls);
  }
  if (Number.isNaN(total)) throw new Error('A call returned no number');
  return median(rounds);
}

function memory(): { rss: number; pss: number } {
  const kilobytes = (text: string, field: string) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)![1]);
  return {
    rss: kilobytes(readFileSync('/proc/self/status', 'utf8'), 'VmRSS') / 1024,
    pss: kilobytes(readFileSync('/proc/self/smaps_rollup', 'utf8'), 'Pss') / 1024,
  };
}

function connect(): Etcd3 {
  const file = (name: string) => readFileSync(`${tlsDirectory}/${name}`);
  const credentials = {
    rootCertificate: file('ca.crt'),
    certChain: file('client.crt'),
    privateKey: file('client.key'),
  };
  return new Etcd3({ hosts: endpoint, credentials });
}

async function etcdWork(etcd: Etcd3, puts: number) {
  const latencies: number[] = [];
  const watcher = await etcd.watch().prefix('probe/').create();
  let events = 0;
  watcher.on('put', () => events++);
  for (let i = 0; i < puts; i++) {
    const start = microseconds();
    await etcd.put(`probe/${i % 16}`).value(`value ${i}`);
    latencies.push(microseconds() - start);
  }
  for (let i = 0; i < 200 && events < puts; i++) await sleep(10);
  await watcher.cancel();
  return { events, latency: median(latencies) };
}

function callCosts() {
  const zero = openFile('/dev/zero', O_RDWR);
  const nothing = openFile('/dev/null', O_RDWR);
  const buffer = new Uint8Array(2048);
  const address = addressOf(buffer);
  const socket = s.socket(s.AF_INET, s.SOCK_DGRAM);
  const sockaddr = new Uint8Array(16);
  const costs = {
    readView: perCall(() => tryRead(zero, buffer, 64)),
    readAddress: perCall(() => tryReadAt(zero, address, 64)),
    writeView: perCall(() => tryWrite(nothing, buffer, 64)),
    again: perCall(() => s.tryRecvFrom(socket, buffer, s.MSG_DONTWAIT, sockaddr)),
    checksum: perCall(() => sum(buffer, 1400), 20_000),
  };
  for (const fd of [zero, nothing, socket]) closeFd(fd);
  return costs;
}

/** JavaScript on bytes, as the reference engine does it: the runtime's compiler, not its FFI. */
function sum(bytes: Uint8Array, length: number): number {
  let total = 0;
  for (let at = 0; at < length; at += 2) total += (bytes[at]! << 8) | bytes[at + 1]!;
  return total;
}

function wakeLatency(worker: ReturnType<typeof startWorker>): number {
  const rounds: number[] = [];
  for (let i = 0; i < 2000; i++) {
    const start = microseconds();
    worker.signal();
    if (!worker.answered()) throw new Error('The worker does not answer');
    rounds.push(microseconds() - start);
  }
  return median(rounds);
}

/** Ends this process while a worker waits in a call that ends by itself only after 4 s. */
async function end(how: 'exit' | 'exit-handler' | 'throw' | 'signal'): Promise<void> {
  const worker = startWorker(4000);
  await worker.started();
  if (how === 'exit-handler') process.on('exit', () => void worker.stop());
  writeSync(1, '{}\n'); // from here on the time counts
  if (how === 'signal') return;
  if (how !== 'throw') process.exit(0);
  setImmediate(() => {
    throw new Error('uncaught, on purpose');
  });
}

const MODES: Readonly<Record<string, () => unknown>> = {
  /** Everything is loaded, one FFI call done, and the program ends. */
  start: () => closeFd(s.socket(s.AF_INET, s.SOCK_DGRAM)),
  calls: callCosts,
  async wake() {
    const worker = startWorker(1000);
    await worker.started();
    const roundTrip = wakeLatency(worker);
    await worker.stop();
    return { roundTrip };
  },
  async etcd() {
    const etcd = connect();
    const result = await etcdWork(etcd, 500);
    etcd.close();
    return result;
  },
  async memory() {
    const worker = startWorker(1000);
    await worker.started();
    const etcd = connect();
    await etcdWork(etcd, 100);
    await sleep(1000);
    const early = memory();
    await etcdWork(etcd, 3000);
    await sleep(1000);
    const late = memory();
    etcd.close();
    await worker.stop();
    return { early, late };
  },
  exit: () => end('exit'),
  'exit-handler': () => end('exit-handler'),
  throw: () => end('throw'),
  signal: () => end('signal'),
};

Promise.resolve(MODES[mode]!())
  .then((result) => {
    if (result !== undefined && typeof result === 'object') process.stdout.write(`${JSON.stringify(result)}\n`);
  })
  .catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.stack : error}\n`);
    process.exitCode = 1;
  });
