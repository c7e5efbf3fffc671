/** Pods, bridges, nodes and an engine on each, in the program and the runtime that is shipped: long streams, and floods. */
import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { residentMegabytes } from '../../bench/dataplane/cpu.ts';
import { buildProgram, type EngineProcess, type Program } from '../../bench/dataplane/engine-process.ts';
import { Lab, type Place, type Variant } from '../../bench/dataplane/lab.ts';
import { layPath, type Path } from '../../bench/dataplane/paths.ts';
import { runIn, startIn } from '../../bench/dataplane/processes.ts';
import { end, MEBIBYTE, stream } from './support/stream.ts';

jest.setTimeout(240_000);

/** What an engine needs for its work it has after a stream of this length each way. */
const WARM_UP = 128 * MEBIBYTE;
/** A runtime's heap breathes. Seventy bytes left behind by each packet of the shortest stream would be more. */
const GROWTH_MB = 24;

let program: Program;
let lab: Lab;
let path: Path;

beforeAll(() => {
  program = buildProgram('bun');
}, 120_000);
afterAll(() => program.remove());
afterEach(async () => {
  await path?.takeAway();
  lab.tearDown();
});

async function lay(name: 'fast' | 'reference', variant: Variant, mtu = 1500): Promise<void> {
  lab = new Lab(`fltest-${process.pid}-stream`, mtu);
  lab.setUp();
  lab.setVariant(variant);
  path = await layPath(name, lab, { engine: program });
}

describe('streams', () => {
  test.each([
    ['fast', 'wire', 1500, 2048],
    ['fast', 'whole', 1500, 1024],
    ['fast', 'wire', 9001, 1024],
    ['reference', 'whole', 1500, 256],
  ] as const)('the %s engine (%s, MTU %i) carries %i MiB each way unchanged, and does not grow', async (...test) => {
    const [name, variant, mtu, mebibytes] = test;
    await lay(name, variant, mtu);
    await bothWays(WARM_UP);
    const before = path.engines.map(belongings);
    await bothWays(mebibytes * MEBIBYTE);
    for (const [index, engine] of path.engines.entries()) {
      const { descriptors, resident } = belongings(engine);
      expect(descriptors).toBe(before[index]!.descriptors);
      expect(resident - before[index]!.resident).toBeLessThan(GROWTH_MB);
      await expectNothingRefused(engine);
      const { superPackets, segmentedSends, mergedWrites } = await engine.counters();
      const used = [superPackets, segmentedSends, mergedWrites].map((count) => Number(count) > 1000);
      expect(used).toEqual(new Array(3).fill(name === 'fast'));
    }
  });

  async function bothWays(bytes: number): Promise<void> {
    const [{ pod: a }, { pod: b }] = lab.sides;
    for (const { sent, arrived } of await Promise.all([stream(a, b, bytes), stream(b, a, bytes)])) {
      expect(sent.bytes).toBe(bytes);
      expect(arrived).toEqual(sent);
    }
  }
});

function belongings({ pid }: EngineProcess) {
  return { descriptors: readdirSync(`/proc/${pid}/fd`).length, resident: residentMegabytes(pid) };
}

async function expectNothingRefused(engine: EngineProcess): Promise<void> {
  const { dropped, offloadFallbacks } = await engine.counters();
  const refusals = Object.entries(dropped as Record<string, number>).filter(([, count]) => count > 0);
  expect({ refusals, offloadFallbacks }).toEqual({ refusals: [], offloadFallbacks: 0 });
}

describe('while one pod sends all the datagrams that it can', () => {
  test.each(['fast', 'reference'] as const)('the %s engine goes on with everything else', async (name) => {
    await lay(name, 'wire');
    const [{ pod: a }, { pod: b }] = lab.sides;
    // Of a flood far above what the reference engine carries, so many acknowledgements are lost that TCP waits for minutes.
    const flood = flooding(a, b, name === 'fast' ? 0 : 2);
    try {
      await until(async () => Number((await path.engines[1]!.counters()).socketPackets) > 20_000);
      // Against the flood, with its acknowledgements in the middle of it.
      const { sent, arrived } = await stream(b, a, MEBIBYTE);
      expect(arrived).toEqual(sent);
      // Beside it: a full queue loses packets of all flows alike, as a full link does, but none is shut out.
      expect(answers(a, b)).toBeGreaterThan(0);
      // It lasted until here, or all of this says nothing.
      const { socketPackets } = await path.engines[1]!.counters();
      await until(async () => Number((await path.engines[1]!.counters()).socketPackets) > Number(socketPackets) + 1000);
      expect(await path.takeAway()).toBeUndefined();
      expect(path.engines.map(({ exitCode }) => exitCode)).toEqual([0, 0]);
    } finally {
      await end(flood);
    }
  });
});

/** From a process of its own, until it is ended, with nobody who listens; bursts of 64 with a pause between them. */
function flooding(from: Place, to: Place, pauseMs: number) {
  const source = `
    const socket = require('dgram').createSocket('udp4');
    const pause = Number(process.argv[2]);
    const next = (burst) => (pause === 0 ? setImmediate(burst) : setTimeout(burst, pause));
    const bytes = Buffer.alloc(1000);
    const burst = () => { let left = 64; for (let i = 0; i < 64; i++) socket.send(bytes, 9, process.argv[1], () => { if (--left === 0) next(burst); }); };
    socket.on('error', () => {});
    socket.bind(burst);`;
  return startIn(from, [process.execPath, '-e', source, to.address, String(pauseMs)], { stdio: 'inherit' });
}

/** Of 20 pings. */
function answers(from: Place, to: Place): number {
  const command = ['ping', '-n', '-q', '-i', '0.1', '-c', '20', '-w', '20', to.address];
  return Number(/(\d+) received/.exec(runIn(from, command))?.[1]);
}

async function until(happened: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 1000; tries++) {
    if (await happened()) return;
    await sleep(20);
  }
  throw new Error('Waited in vain');
}
