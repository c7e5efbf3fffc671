/**
 * What a node keeps on disk of the source of leases: its own lease, as proof that it is its own, and the config and leases last
 * known, to start from when the source does not answer. One JSON file beside subnet.env, with mode 0600 and without secrets.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Logger } from 'pino';
import { writeFileAtomically } from '../atomic-file.ts';
import { messageOf } from '../errors.ts';

const VERSION = 1;
const WRITE_PAUSE_MS = 2000;

/** A lease of this node as it last was in the source. */
export interface KeptLease {
  readonly key: string;
  readonly value: string;
  readonly modRevision: string;
  readonly leaseId: string;
  /** Milliseconds that it had from when the file was written; absent for a reservation. */
  readonly remainingMs?: number;
}

export interface KeptContents {
  /** JSON of the network config. */
  readonly config?: string;
  readonly lease?: KeptLease;
  /** Value by key of every lease last known. */
  readonly leases?: Readonly<Record<string, string>>;
}

export interface KeptState {
  /** What an earlier run left; `remainingMs` counts from now, and is 0 for a lease that ended meanwhile. */
  readonly previous: KeptContents;
  /** For people: where it is and how old. */
  readonly description: string;
  /** Written at once. */
  setLease(lease: () => KeptLease | undefined): void;
  /** Written within seconds, the first ones at once. */
  setConfig(json: string): void;
  setLeases(leases: () => Readonly<Record<string, string>>): void;
  /** While it rests, the file is another process's. */
  rest(resting: boolean): void;
  /** Writes what is not yet written. */
  close(): void;
}

/** Where config and leases come from: what is of another source is no proof. */
export interface KeptOrigin {
  /** "etcd". */
  readonly source: string;
  readonly prefix: string;
  readonly endpoints: readonly string[];
}

export interface KeptStateSettings {
  readonly file: string;
  /** Of this machine: what a copied disk brings along from another machine is no proof. */
  readonly identity?: string;
}

/** The clocks of a moment. Uptime counts while the machine sleeps, and does not jump; it is of use within one boot only. */
interface Moment {
  readonly bootId: string;
  readonly uptimeMs: number;
  readonly wallMs: number;
}

interface KeptFile extends KeptContents, Moment {
  readonly version: number;
  readonly prefix: string;
  readonly endpoints: readonly string[];
  readonly identity?: string;
}

export const NO_KEPT_STATE: KeptState = {
  previous: {},
  description: 'none',
  setLease: () => {},
  setConfig: () => {},
  setLeases: () => {},
  rest: () => {},
  close: () => {},
};

export function stateFileOf(subnetFile: string): string {
  return `${subnetFile.replace(/\.env$/, '')}.state.json`;
}

export function openKeptState(
  { file, identity }: KeptStateSettings,
  { source, prefix, endpoints }: KeptOrigin,
  log: Logger,
): KeptState {
  const found = readKept(file, log);
  const mismatch = found && mismatchOf(found, { source, prefix, endpoints, identity });
  if (mismatch !== undefined) log.warn({ file }, `Ignoring the kept state: ${mismatch}`);
  const usable = mismatch === undefined ? found : undefined;
  const elapsedMs = usable && elapsedSince(usable, presentMoment());
  const previous: KeptContents = usable ? aged(usable, elapsedMs!) : {};

  let { config } = previous;
  let lease = (): KeptLease | undefined => previous.lease;
  let leases = (): KeptContents['leases'] => previous.leases;
  let hasLeases = previous.leases !== undefined;
  let written = digestOf(JSON.stringify(previous));
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();
  let complained = false;
  let closed = false;
  let resting = false;

  /** What is not yet on disk. */
  const render = (): { readonly digest: string; readonly text: string } | undefined => {
    const kept = lease();
    const known = leases();
    const contents: KeptContents = {
      ...(config !== undefined && { config }),
      ...(kept && { lease: kept }),
      ...(known && { leases: known }),
    };
    const digest = digestOf(JSON.stringify(contents));
    if (digest === written) return undefined;
    const head = {
      version: VERSION,
      prefix,
      endpoints,
      ...(identity !== undefined && { identity }),
      ...presentMoment(),
    };
    return { digest, text: `${JSON.stringify({ ...head, ...contents } satisfies KeptFile)}\n` };
  };
  const failed = (error: unknown): void => {
    if (!complained) log.warn({ file }, `Cannot keep state for a start without ${source}: ${messageOf(error)}`);
    complained = true;
  };
  const write = (): void => {
    clearTimeout(timer);
    timer = undefined;
    writing = writing.then(async () => {
      const next = closed || resting ? undefined : render();
      if (next === undefined) return;
      try {
        // A write that close() has overtaken must not replace what that wrote.
        if (await writeFileSafely(file, next.text, () => !closed && !resting)) written = next.digest;
      } catch (error) {
        failed(error);
      }
    });
  };
  const writeSoon = (): void => {
    timer ??= setTimeout(write, WRITE_PAUSE_MS).unref();
  };
  return {
    previous,
    description: elapsedMs === undefined ? file : `${file}, ${Math.round(elapsedMs / 1000)} s old`,
    setLease(next) {
      lease = next;
      write();
    },
    setConfig(json) {
      const isFirst = config === undefined;
      config = json;
      if (isFirst) write();
      else writeSoon();
    },
    setLeases(next) {
      const isFirst = !hasLeases;
      hasLeases = true;
      leases = next;
      if (isFirst) write();
      else writeSoon();
    },
    rest(now) {
      resting = now;
      if (!resting) write();
    },
    close() {
      closed = true;
      clearTimeout(timer);
      if (resting) return;
      try {
        const next = render(); // also what is being written: the process may end before it is
        if (next !== undefined) {
          writeFileAtomically(file, next.text, { mode: 0o600, temporary: `${temporaryOf(file)}.last` });
        }
      } catch (error) {
        failed(error);
      }
    },
  };
}

function readKept(file: string, log: Logger): KeptFile | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return undefined; // the first start
  }
  try {
    const found = JSON.parse(text) as KeptFile;
    if (found.version !== VERSION) throw new Error(`version ${String(found.version)} is unknown`);
    return found;
  } catch (error) {
    log.warn({ file }, `Ignoring the kept state, which cannot be read: ${messageOf(error)}`);
    return undefined;
  }
}

function mismatchOf(
  found: KeptFile,
  { source, prefix, endpoints, identity }: KeptOrigin & { readonly identity: string | undefined },
): string | undefined {
  if (found.prefix !== prefix) return `it is of the ${source} prefix ${found.prefix}`;
  // One member in common is enough: clusters replace their members one by one.
  if (!found.endpoints.some((endpoint) => endpoints.includes(endpoint))) {
    return `it is of the ${source} at ${found.endpoints.join(', ')}`;
  }
  if (found.identity !== identity) return 'it was written on another machine, of which this one may be a copy';
  return undefined;
}

function aged({ config, lease, leases }: KeptFile, elapsedMs: number): KeptContents {
  const remainingMs = lease?.remainingMs === undefined ? undefined : Math.max(0, lease.remainingMs - elapsedMs);
  return {
    ...(config !== undefined && { config }),
    ...(lease && { lease: { ...lease, ...(remainingMs !== undefined && { remainingMs }) } }),
    ...(leases && { leases }),
  };
}

/** What is kept of a text of a megabyte to see whether it has changed. */
function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('base64');
}

/** Infinity when no clock shows it. */
export function elapsedSince(then: Moment, now: Moment): number {
  const elapsed = then.bootId === now.bootId ? now.uptimeMs - then.uptimeMs : now.wallMs - then.wallMs;
  return elapsed >= 0 ? elapsed : Number.POSITIVE_INFINITY;
}

function presentMoment(): Moment {
  return {
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    uptimeMs: Math.round(Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1000),
    wallMs: Date.now(),
  };
}

const temporaryOf = (file: string): string => path.join(path.dirname(file), `.${path.basename(file)}.${process.pid}`);

/** Nobody ever reads half a file, not even after a power failure. False when it is no longer wanted. */
async function writeFileSafely(file: string, text: string, isWanted: () => boolean): Promise<boolean> {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o755 });
  const temporary = temporaryOf(file);
  try {
    const handle = await open(temporary, 'w', 0o600);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    if (isWanted()) {
      renameSync(temporary, file);
      return true;
    }
    await rm(temporary, { force: true });
    return false;
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
