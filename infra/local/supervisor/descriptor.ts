/** What the supervisor is told and what it tells: two JSON files, one read at its start, one written at every change. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';

export interface Descriptor {
  readonly name: string;
  readonly command: readonly string[];
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
  /** `NAME=value` lines, read at every start of the service. One that does not exist is skipped. */
  readonly environmentFiles: readonly string[];
  readonly log: { readonly path: string; readonly maxBytes: number; readonly keep: number };
  /** Answers 200 when the service does its work. */
  readonly readyUrl: string;
  readonly statusFile: string;
  /** Of everything the service runs with: a process that was started with another one is replaced. */
  readonly configHash: string;
  /** How one of the service takes over from another that runs. Absent: that one is ended first. */
  readonly handOver?: HandOver;
  readonly stopMs: number;
  /** The pause before a start: doubled from `firstMs` to `maxMs`, and back to `firstMs` after `resetMs` of good life. */
  readonly backoff: { readonly firstMs: number; readonly maxMs: number; readonly resetMs: number };
}

export interface HandOver {
  /** Where it says who serves. */
  readonly socket: string;
  /** Of the one that takes over. One that does not know it ends with 2, as for any wrong usage. */
  readonly argument: string;
}

export interface ProcessIdentity {
  readonly pid: number;
  readonly startTime: string;
}

export interface Status {
  readonly supervisor: ProcessIdentity;
  /** The service, while it runs. */
  readonly pid?: number;
  readonly startTime?: string;
  /** Its readyUrl answers 200. */
  readonly ready: boolean;
  /** Its readyUrl answers at all. */
  readonly answering: boolean;
  /** How often it was started again by this supervisor. */
  readonly restarts: number;
  /** Of the service that runs. */
  readonly configHash: string;
  /** Of one that did not come up beside it, which therefore goes on. */
  readonly refused?: { readonly configHash: string; readonly why: string };
  readonly lastExit?: { readonly code?: number; readonly signal?: string; readonly at: string };
}

export function readDescriptor(path: string): Descriptor {
  return JSON.parse(readFileSync(path, 'utf8')) as Descriptor;
}

/** Undefined if there is none, or none that can be read: what it says is then asked of the processes themselves. */
export function readStatus(path: string): Status | undefined {
  try {
    const status = JSON.parse(readFileSync(path, 'utf8')) as Status;
    return typeof status.supervisor?.pid === 'number' ? status : undefined;
  } catch {
    return undefined;
  }
}

/** How often the service was started again since `before`. What happened earlier, be it by hand, says nothing of how it comes up now. */
export function restartsSince({ supervisor, restarts }: Status, before: Status | undefined): number {
  const isSame =
    before !== undefined &&
    before.supervisor.pid === supervisor.pid &&
    before.supervisor.startTime === supervisor.startTime &&
    before.restarts <= restarts;
  return isSame ? restarts - before.restarts : restarts;
}

export function writeStatus(path: string, status: Status): void {
  writeFileSync(`${path}.new`, `${JSON.stringify(status)}\n`);
  renameSync(`${path}.new`, path);
}

/** Lines of `NAME=value`; `#` begins a comment. */
export function parseEnvironment(text: string): Record<string, string> {
  const entries = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#') && line.includes('='))
    .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const);
  return Object.fromEntries(entries);
}

/** The pause before the next start, after `failures` short lives in a row. */
export function restartDelay(backoff: Descriptor['backoff'], failures: number): number {
  return Math.min(backoff.firstMs * 2 ** Math.min(failures, 30), backoff.maxMs);
}
