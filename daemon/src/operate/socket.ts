/**
 * The pages of /healthz, /readyz, /status and /metrics on a unix socket beside the subnet file: `flanneld status` finds it without a
 * port, and only root may ask. Several flanneld on a host have several subnet files, and so several sockets.
 */
import { chmodSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import type { Server as HttpServer } from 'node:http';
import type { Server } from 'node:net';
import path from 'node:path';
import type { Logger } from 'pino';
import { sleep } from '../abort.ts';
import { messageOf } from '../errors.ts';
import { Repeats } from '../repeats.ts';
import { createPages, endServer, type HealthSources } from './health.ts';

/** `/run/flannel/subnet.sock` for `/run/flannel/subnet.env`. */
export function socketOf(subnetFile: string): string {
  return `${subnetFile.replace(/\.env$/, '')}.sock`;
}

export interface KeptSocket {
  /** Takes the name back from another process. */
  claim(): Promise<void>;
  close(): void;
}

/** What listens at a name. */
export interface Listener {
  /** As in "the status socket". */
  readonly name: string;
  /** What does not work without it. */
  readonly loss: string;
  readonly make: () => Server;
  readonly end: (server: Server) => void;
}

/** `sun_path` of unix(7), without its zero byte. */
const MOST_BYTES = 107;
const LOOK_MS = 2000;

export function serveSocket(file: string, sources: HealthSources, log: Logger, lookMs = LOOK_MS): Promise<KeptSocket> {
  const pages = {
    name: 'status socket',
    loss: '"flanneld status" will not be answered',
    make: () => createPages(sources),
    end: (server: Server) => endServer(server as HttpServer),
  };
  return keepListening(file, pages, log, lookMs);
}

/**
 * Never rejects: a daemon that cannot be asked still does its work. The socket is made again when somebody has deleted it. A daemon that
 * starts beside its predecessor takes the name over, and neither removes the socket of the other.
 */
export async function keepListening(
  file: string,
  listener: Listener,
  log: Logger,
  lookMs = LOOK_MS,
): Promise<KeptSocket> {
  const { name, loss, make, end } = listener;
  const repeats = new Repeats();
  const stop = new AbortController();
  let listening: Listening | undefined;
  const open = async (): Promise<boolean> => {
    try {
      const next = await listen(file, make(), end);
      if (listening !== undefined) end(listening.server);
      listening = next;
      if (stop.signal.aborted) remove(file, listening, end);
      return true;
    } catch (error) {
      const line = repeats.failed(`${loss}: cannot listen at ${file}: ${messageOf(error)}`, performance.now());
      if (line !== undefined) log.warn(line);
      return false;
    }
  };
  await open();
  void (async () => {
    for (;;) {
      await sleep(lookMs, stop.signal);
      if (stop.signal.aborted) return;
      if (inodeOf(file) !== undefined && listening !== undefined) continue; // ours, or a successor's
      const isAgain = listening !== undefined;
      if ((await open()) && isAgain) log.info({ file }, `Made the ${name} again, which was gone`);
    }
  })();
  return {
    claim: async () => void (await open()),
    close: () => {
      stop.abort();
      if (listening !== undefined) remove(file, listening, end);
    },
  };
}

interface Listening {
  readonly server: Server;
  /** Of the socket's file. */
  readonly inode: number | undefined;
}

/** Under its name only once it can be asked, and by root only. */
async function listen(file: string, server: Server, end: Listener['end']): Promise<Listening> {
  const directory = path.dirname(file);
  const temporary = path.join(directory, `.${process.pid}${path.extname(file)}`);
  try {
    if (Math.max(Buffer.byteLength(file), Buffer.byteLength(temporary)) > MOST_BYTES) {
      throw new Error(`the path has more than ${MOST_BYTES} bytes: choose a shorter one with -subnet-file`);
    }
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    rmSync(temporary, { force: true });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(temporary, resolve);
    });
    chmodSync(temporary, 0o600);
    renameSync(temporary, file);
    return { server, inode: inodeOf(file) };
  } catch (error) {
    end(server);
    rmSync(temporary, { force: true });
    throw error;
  }
}

function remove(file: string, { server, inode }: Listening, end: Listener['end']): void {
  if (inodeOf(file) === inode) rmSync(file, { force: true });
  end(server);
}

function inodeOf(file: string): number | undefined {
  return statSync(file, { throwIfNoEntry: false })?.ino;
}
