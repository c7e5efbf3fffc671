/**
 * The pages of /healthz, /readyz, /status and /metrics on a unix socket beside the subnet file: `flanneld status` finds it without a
 * port, and only root may ask. Several flanneld on a host have several subnet files, and so several sockets.
 */
import { chmodSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import type { Logger } from 'pino';
import { messageOf } from '../errors.ts';
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

/**
 * Never rejects: a daemon that cannot be asked still does its work. A daemon that starts beside its predecessor takes the name over, and
 * neither removes the socket of the other.
 */
export async function serveSocket(file: string, sources: HealthSources, log: Logger): Promise<StatusSocket> {
  const directory = path.dirname(file);
  const temporary = path.join(directory, `.${process.pid}.sock`);
  const server = createPages(sources);
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
    const own = statSync(file).ino;
    return {
      close: () => {
        if (statSync(file, { throwIfNoEntry: false })?.ino === own) rmSync(file, { force: true });
        endServer(server);
      },
    };
  } catch (error) {
    endServer(server);
    rmSync(temporary, { force: true });
    log.warn(`"flanneld status" will not be answered: cannot listen at ${file}: ${messageOf(error)}`);
    return { close: () => {} };
  }
}
