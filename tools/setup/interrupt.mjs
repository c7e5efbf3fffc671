/** Ctrl-C while the set-up changes this machine: what it runs ends first, and then this process. */
import { constants } from 'node:os';
import { say } from './progress.mjs';

/** A terminal and npm each pass on the same Ctrl-C: what comes within this time is one. */
const SAME_SIGNAL_MS = 400;
/** SIGPIPE comes from output.mjs. */
const SIGNALS = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGPIPE']);

/** Process groups that are running, by the id of their leader. */
const groups = new Set();
let attended = false;
/** @type {(typeof SIGNALS)[number] | undefined} */
let interrupted;
let since = 0;

/**
 * While `work` runs, a signal ends the groups of `startGroup()`, and this process once they have ended: npm goes on to remove
 * what it has installed so far, and must not do that beside the next npm. A second signal kills them.
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function endChildrenFirst(work) {
  for (const signal of SIGNALS) process.on(signal, onSignal);
  process.on('exit', killAll);
  attended = true;
  try {
    return await work();
  } finally {
    attended = false;
    process.off('exit', killAll);
    for (const signal of SIGNALS) process.off(signal, onSignal);
  }
}

/** Whether children shall lead groups of their own, which are handed to `startGroup()`. */
export function leadsGroups() {
  return attended;
}

/** Whether nothing may be started any more, nor go on after what has ended. */
export function isInterrupted() {
  return interrupted !== undefined;
}

/** @param {number} pid of its leader */
export function startGroup(pid) {
  groups.add(pid);
}

/** @param {number} pid */
export function endGroup(pid) {
  groups.delete(pid);
  if (groups.size === 0 && interrupted !== undefined) exit(interrupted);
}

/** @param {(typeof SIGNALS)[number]} signal */
function onSignal(signal) {
  if (groups.size === 0) exit(signal);
  if (interrupted === undefined) {
    interrupted = signal;
    since = Date.now();
    if (signal === 'SIGINT' || signal === 'SIGTERM') say('\nWaiting for what is running to end; once more kills it');
    signalAll(signal === 'SIGINT' ? 'SIGINT' : 'SIGTERM');
  } else if (Date.now() - since >= SAME_SIGNAL_MS && signal !== 'SIGPIPE') {
    killAll();
  }
}

function killAll() {
  signalAll('SIGKILL');
}

/** @param {NodeJS.Signals} signal */
function signalAll(signal) {
  for (const pid of groups) {
    try {
      process.kill(-pid, signal);
    } catch {
      // It has just ended.
    }
  }
}

/**
 * Lets what hangs on the process's exit take place: a signal alone would not.
 * @param {(typeof SIGNALS)[number]} signal
 * @returns {never}
 */
function exit(signal) {
  process.exit(128 + constants.signals[signal]);
}
