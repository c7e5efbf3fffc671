import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { closeFd, type Fd, O_CREAT, O_RDWR, openFile } from '@flannel-ts/linux/files';
import { pino } from 'pino';
import type { KeptSocket } from '../socket.ts';
import { offerHandOver, type Yielding } from './offer.ts';
import { takeOver } from './take-over.ts';

const log = pino({ enabled: false });

let directory: string;
let file: string;
let did: string[];
let offer: KeptSocket;
let device: Fd;

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'flannel-hand-over-'));
  file = path.join(directory, 'subnet.handover');
  device = openFile(path.join(directory, 'device'), O_RDWR | O_CREAT, 0o600);
  did = [];
});
afterEach(() => {
  offer?.close();
  closeFd(device);
  rmSync(directory, { recursive: true });
});

async function offered(changes: Partial<Yielding> = {}, limitMs?: number): Promise<void> {
  const own = did; // what ends late is of this test
  const step = (name: string) => async () => void own.push(name);
  const yielding = {
    state: () => 'serving' as const,
    refusal: () => undefined,
    rest: step('rest'),
    descriptors: () => new Map([['device', device]]),
    pause: step('pause'),
    resume: step('resume'),
    taken: () => void own.push('taken'),
    end: () => void own.push('end'),
    ...changes,
  };
  offer = await offerHandOver(file, yielding, log, limitMs);
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

test('who takes over gets the descriptors after all is at rest, and packets after the pause', async () => {
  await offered();
  const taken = (await takeOver(file, log))!;
  expect(did).toEqual(['rest']);
  const fd = taken.descriptors.get('device')!;
  expect(readFileSync(`/proc/self/fd/${fd}`, 'utf8')).toBe('');
  expect(fd).not.toBe(device);
  await taken.pause();
  taken.taken();
  taken.end();
  await until(() => did.includes('end'));
  expect(did).toEqual(['rest', 'pause', 'taken', 'end']);
  closeFd(fd);
});

test('who does not take over in time is told so, and another may', async () => {
  await offered({}, 50);
  const late = (await takeOver(file, log))!;
  await expect(late.failed).rejects.toThrow('goes on instead: it has not taken over within 0.05 s');
  expect(did).toEqual(['rest', 'resume']);
  expect(await takeOver(file, log)).toBeDefined();
});

test('a second one is refused while one takes over', async () => {
  await offered();
  await takeOver(file, log);
  await expect(takeOver(file, log)).rejects.toThrow('another process is taking over');
  expect(did).toEqual(['rest']);
});

test('all goes on where something fails on the way', async () => {
  await offered({ pause: async () => Promise.reject(new Error('The engine is stuck')) });
  const taken = (await takeOver(file, log))!;
  void taken.pause();
  await expect(taken.failed).rejects.toThrow('The engine is stuck');
  expect(did).toEqual(['rest', 'resume']);
});

test('who only looks gets a greeting, and changes nothing', async () => {
  await offered();
  const greeting = await new Promise<string>((resolve) => {
    const socket = connect(file);
    socket.once('data', (piece) => {
      socket.destroy();
      resolve(piece.toString());
    });
  });
  expect(JSON.parse(greeting)).toEqual({ protocol: 1, pid: process.pid, state: 'serving' });
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(did).toEqual([]);
});

test('takeOver() finds nobody where nobody listens', async () => {
  expect(await takeOver(file, log)).toBeUndefined();
});
