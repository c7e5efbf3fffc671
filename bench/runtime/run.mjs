/**
 * Compares the two ways to ship flanneld: compiled by Bun, or Node carried in the artifact. Writes the figures into
 * docs/decisions/runtime.md, where the decision is. Needs etcd, etcdctl and openssl, no root; takes about two minutes.
 *
 *     node bench/runtime/run.mjs
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startEtcd } from './etcd.mjs';
import { buildPrograms } from './programs.mjs';

/** @typedef {import('./programs.mjs').Program} Program */
/** @typedef {string[]} Row a name, and a cell for each program */

const DOCUMENT = join(import.meta.dirname, '../../docs/decisions/runtime.md');
const [BEGIN, END] = ['<!-- begin: bench/runtime/run.mjs -->', '<!-- end: bench/runtime/run.mjs -->'];
const STARTS = 30;
const REPEATS = 5;
const HANGS_AFTER_MS = 10_000;

const loadBefore = loadavg()[0] ?? 0;
const directory = mkdtempSync(join(tmpdir(), 'bench-runtime-'));
try {
  const { programs, workerFile } = await buildPrograms(directory);
  const etcd = await startEtcd(directory);
  try {
    writeTable(programs, await measure(programs, workerFile, etcd), etcd.version);
  } finally {
    await etcd.stop();
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}

/**
 * Row by row, the programs in turns within a row: what else this machine does meets all of them alike.
 * @param {readonly Program[]} programs
 * @param {string} workerFile
 * @param {{endpoint: string, tlsDirectory: string}} etcd
 * @returns {Promise<Row[]>}
 */
async function measure(programs, workerFile, etcd) {
  /** @param {string} mode */
  const probes = (mode) =>
    programs.map(({ command }) => [...command, mode, workerFile, etcd.endpoint, etcd.tlsDirectory]);
  const results = (/** @type {string} */ mode) => inTurns(probes(mode), REPEATS, output);
  const [calls, wakes, work, memory] = [results('calls'), results('wake'), results('etcd'), results('memory')];
  const endings = async (/** @type {string} */ mode, /** @type {NodeJS.Signals | undefined} */ signal = undefined) => {
    const cells = [];
    for (const command of probes(mode)) cells.push(await ending(command, signal));
    return cells;
  };
  const hello = programs.map((program) => program.hello);
  return [
    ['size (gzip)', ...programs.map(({ bytes, gzipBytes }) => `${mega(bytes)} MB (${mega(gzipBytes)} MB)`)],
    row('start to end, empty program', 'ms', starts(hello), Number),
    row('start to end, etcd3 and FFI loaded, one call', 'ms', starts(probes('start')), Number),
    row('resident, worker in poll, etcd connected', 'MB', memory, (m) => m.early.rss),
    row('of it proportional (Pss)', 'MB', memory, (m) => m.early.pss),
    row('resident after 3000 more writes and their events', 'MB', memory, (m) => m.late.rss),
    row('read(2) of 64 B, into a view', 'ns', calls, (c) => c.readView),
    row('read(2) of 64 B, to an address', 'ns', calls, (c) => c.readAddress),
    row('write(2) of 64 B, from a view', 'ns', calls, (c) => c.writeView),
    row('recvfrom(2) that ends with EAGAIN, with errno', 'ns', calls, (c) => c.again),
    row('sum over 1400 B in JavaScript', 'ns', calls, (c) => c.checksum),
    row('eventfd to a worker in poll, and back', 'µs', wakes, (w) => w.roundTrip),
    row('etcd put over TLS with a client certificate', 'ms', work, (w) => w.latency / 1000),
    ['watch events that arrived, of 500', ...work.map((list) => String(Math.min(...list.map((w) => w.events))))],
    ['process.exit(), worker in a 4 s poll', ...(await endings('exit'))],
    ['the same, exit handler that signals the worker', ...(await endings('exit-handler'))],
    ['uncaught exception, worker in a 4 s poll', ...(await endings('throw'))],
    ['SIGTERM without a handler, worker in a 4 s poll', ...(await endings('signal', 'SIGTERM'))],
  ];
}

/**
 * @template T
 * @param {readonly (readonly string[])[]} commands
 * @param {number} times
 * @param {(command: readonly string[]) => T} run
 * @returns {T[][]} a list for each command
 */
function inTurns(commands, times, run) {
  /** @type {T[][]} */
  const lists = commands.map(() => []);
  for (let time = 0; time < times; time++) {
    for (const [index, command] of commands.entries()) lists[index]?.push(run(command));
  }
  return lists;
}

/**
 * @param {readonly string[]} command
 * @returns {any}
 */
function output([program = '', ...args]) {
  return JSON.parse(
    execFileSync(program, args, { encoding: 'utf8', cwd: directory, stdio: ['ignore', 'pipe', 'inherit'] }),
  );
}

/**
 * Milliseconds from spawn to exit; the first run, which reads the program from the disk, does not count.
 * @param {readonly (readonly string[])[]} commands
 */
function starts(commands) {
  const timed = (/** @type {readonly string[]} */ [program = '', ...args]) => {
    const start = process.hrtime.bigint();
    execFileSync(program, args, { cwd: directory, stdio: 'ignore' });
    return Number(process.hrtime.bigint() - start) / 1e6;
  };
  return inTurns(commands, STARTS + 1, timed).map((times) => times.slice(1));
}

/**
 * @template T
 * @param {string} name
 * @param {string} unit
 * @param {readonly (readonly T[])[]} lists
 * @param {(one: T) => number} field
 * @returns {Row}
 */
function row(name, unit, lists, field) {
  return [name, ...lists.map((list) => spread(list.map(field), unit))];
}

/**
 * How long a program takes to end after it said it is about to.
 * @param {readonly string[]} command
 * @param {NodeJS.Signals} [signal] that ends it
 */
async function ending([program = '', ...args], signal) {
  const child = spawn(program, args, { cwd: directory, stdio: ['ignore', 'pipe', 'ignore'] });
  const exited = once(child, 'exit');
  await once(/** @type {NonNullable<typeof child.stdout>} */ (child.stdout), 'data');
  const start = performance.now();
  if (signal !== undefined) child.kill(signal);
  const late = sleep(HANGS_AFTER_MS, undefined, { ref: false });
  const [code, by] = (await Promise.race([exited, late])) ?? [undefined, undefined];
  if (code === undefined) {
    child.kill('SIGKILL');
    await exited;
    return `still there after ${HANGS_AFTER_MS / 1000} s`;
  }
  return `${((performance.now() - start) / 1000).toFixed(1)} s (${by ?? `code ${code}`})`;
}

/**
 * @param {readonly number[]} values
 * @param {string} unit
 */
function spread(values, unit) {
  const sorted = [...values].sort((a, b) => a - b);
  const [least, median, most] = [0, sorted.length >> 1, sorted.length - 1].map((at) => short(sorted[at] ?? Number.NaN));
  return `${median} ${unit} (${least}–${most})`;
}

/** @param {number} value */
function short(value) {
  return value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

/** @param {number} bytes */
function mega(bytes) {
  return Math.round(bytes / 1e6);
}

/**
 * @param {readonly Program[]} programs
 * @param {readonly Row[]} rows
 * @param {string} etcdVersion
 */
function writeTable(programs, rows, etcdVersion) {
  const table = [['', ...programs.map(({ runtime }) => runtime)], ['---', ...programs.map(() => '---')], ...rows];
  const processors = cpus();
  const text = [
    `Measured ${new Date().toISOString().slice(0, 10)} by \`node bench/runtime/run.mjs\`: median (least–most) of ${REPEATS} processes, of`,
    `${STARTS} for starts, the two in turns. ${processors[0]?.model.trim()}, ${processors.length} CPUs, Linux ${release()}, etcd ${etcdVersion}; load average`,
    `${short(loadBefore)} before and ${short(loadavg()[0] ?? 0)} after: what is far above the processors' number blurs times, not sizes and memory.`,
    '',
    ...table.map((cells) => `| ${cells.join(' | ')} |`),
  ].join('\n');
  const document = readFileSync(DOCUMENT, 'utf8');
  const [before, after] = [document.indexOf(BEGIN), document.indexOf(END)];
  if (before === -1 || after === -1) throw new Error(`The document ${DOCUMENT} has no lines "${BEGIN}" and "${END}"`);
  writeFileSync(DOCUMENT, `${document.slice(0, before + BEGIN.length)}\n${text}\n${document.slice(after)}`);
  process.stdout.write(`${text}\n`);
}
