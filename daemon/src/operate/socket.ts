/**
 * The pages of /healthz, /readyz, /status and /metrics on a unix socket beside the subnet file: `flanneld status` finds it without a
 * port, and only root may ask. Several flanneld on a host have several subnet files, and so several sockets.
 */
import { chmodSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import type { Server } from 'node:http';
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

export interface StatusSocket {
  close(): void;
}

/** `sun_path` of unix(7), without its zero byte. */
const MOST_BYTES = 107;
const LOOK_MS = 2000;

/**
 * Never rejects: a daemon that cannot be asked still does its work. The socket is made again when somebody has deleted it. A daemon that
 * starts beside its predecessor takes the name over, and neither removes the socket of the other.
 */
export async function serveSocket(
  file: string,
  sources: HealthSources,
  log: Logger,
  lookMs = LOOK_MS,
): Promise<StatusSocket> {
  const repeats = new Repeats();
  const stop = new AbortController();
  let listening: Listening | undefined;
  const keep = async (): Promise<void> => {
    if (inodeOf(file) !== undefined && listening !== undefined) return; // ours, or a successor's
    try {
      const next = await listen(file, createPages(sources));
      if (listening !== undefined) {
        endServer(listening.server);
        log.info({ file }, 'Made the status socket again, which was gone');
      }
      listening = next;
      if (stop.signal.aborted) end(file, listening);
    } catch (error) {
      const trouble = `"flanneld status" will not be answered: cannot listen at ${file}: ${messageOf(error)}`;
      const line = repeats.failed(trouble, performance.now());
      if (line !== undefined) log.warn(line);
    }
  };
  await keep();
  void (async () => {
    for (;;) {
      await sleep(lookMs, stop.signal);
      if (stop.signal.aborted) return;
      await keep();
    }
  })();
  return {
    close: () => {
      stop.abort();
      if (listening !== undefined) end(file, listening);
    },
  };
}

interface Listening {
  readonly server: Server;
  /** Of the socket's file. */
  readonly inode: number | undefined;
}

/** Under its name only once it can be asked, and by root only. */
async function listen(file: string, server: Server): Promise<Listening> {
  const directory = path.dirname(file);
  const temporary = path.join(directory, `.${process.pid}.sock`);
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
    endServer(server);
    rmSync(temporary, { force: true });
    throw error;
  }
}

function end(file: string, { server, inode }: Listening): void {
  if (inodeOf(file) === inode) rmSync(file, { force: true });
  endServer(server);
}

function inodeOf(file: string): number | undefined {
  return statSync(file, { throwIfNoEntry: false })?.ino;
}
