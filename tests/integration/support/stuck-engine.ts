/** In the place of the reference engine: its thread sits in a system call that does not return, and it cannot be stopped. */
import { Worker } from 'node:worker_threads';
import type { Engine, StartEngine } from '../../../daemon/src/datapath/tun/engine/engine.ts';

const SOURCE = `
const { workerData, parentPort } = require('node:worker_threads');
const koffi = process.getBuiltinModule('node:module').createRequire(workerData)('koffi');
const poll = koffi.load(null).func('poll', 'int', ['void *', 'uint64_t', 'int']);
parentPort.postMessage('running');
poll(null, 0, -1);
`;

export const startReferenceEngine: StartEngine = async () => {
  const worker = new Worker(SOURCE, { eval: true, workerData: process.argv[1] });
  await new Promise((resolve) => worker.once('message', resolve));
  const never = new Promise<never>(() => {});
  return { setRoutes: () => {}, counters: () => ({}), failed: never, stop: () => never } as unknown as Engine;
};
