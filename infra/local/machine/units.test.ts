import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeStatus } from '../supervisor/descriptor.ts';
import type { UnitDescriptor } from './descriptor.ts';
import { stopOrder, Units } from './units.ts';

let directory = '';
let events: string[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fltest-units-'));
  events = [];
});
afterEach(() => rmSync(directory, { recursive: true }));

function unit(name: string, configHash = 'a', after: string[] = []): UnitDescriptor {
  const times = { firstMs: 1, maxMs: 1, resetMs: 1 };
  return {
    ...{ name, after, configHash, command: [name], directory, environment: {}, environmentFiles: [] },
    ...{ log: { path: join(directory, 'log'), maxBytes: 1, keep: 1 }, readyUrl: '', stopMs: 1, backoff: times },
    statusFile: join(directory, `${name}.status`),
  };
}

/** Stands for a service that takes a moment to end. */
async function supervise({ name }: UnitDescriptor, signal: AbortSignal): Promise<void> {
  events.push(`${name} starts`);
  await new Promise((resolve) => signal.addEventListener('abort', resolve));
  await sleep(5);
  events.push(`${name} ended`);
}

function ready({ statusFile, configHash }: UnitDescriptor): void {
  const supervisor = { pid: process.pid, startTime: '1' };
  writeStatus(statusFile, { supervisor, ready: true, answering: true, restarts: 0, configHash });
}

async function until(event: string): Promise<void> {
  while (!events.includes(event)) await sleep(5);
}

test('Units start when those they come after are ready with their present configuration', async () => {
  const units = new Units(supervise);
  const [first, second] = [unit('first', 'new'), unit('second', 'a', ['first'])];
  ready({ ...first, configHash: 'old' });
  await units.change([second, first]);
  await sleep(120);
  expect(events).toEqual(['first starts']);
  ready(first);
  await until('second starts');
  await units.change([]);
  expect(events).toEqual(['first starts', 'second starts', 'second ended', 'first ended']);
});

test('Units that are as they were go on, others end before they start anew, in the order of the requests', async () => {
  const units = new Units(supervise);
  await units.change([unit('kept'), unit('changed'), unit('gone')]);
  await Promise.all([units.change([unit('kept'), unit('changed', 'b')]), units.change([unit('kept'), unit('new')])]);
  expect(events).not.toContain('kept ended');
  expect(events.filter((event) => event.startsWith('changed'))).toEqual([
    ...['changed starts', 'changed ended', 'changed starts', 'changed ended'],
  ]);
  expect(events.slice(-2).sort()).toEqual(['changed ended', 'new starts']);
  await units.change([]);
  expect(events.slice(-2).sort()).toEqual(['kept ended', 'new ended']);
});

test('Units that wait for others can be stopped', async () => {
  const units = new Units(supervise);
  await units.change([unit('first'), unit('second', 'a', ['first'])]);
  await units.change([]);
  expect(events).toEqual(['first starts', 'first ended']);
});

test('stopOrder() ends what comes after others before them', () => {
  const chain = [unit('a'), unit('b', '', ['a']), unit('c', '', ['b'])].map((each) => ({ unit: each }));
  expect(stopOrder([chain[1]!, chain[0]!, chain[2]!]).map(({ unit: { name } }) => name)).toEqual(['c', 'b', 'a']);
});
