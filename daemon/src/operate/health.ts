/**
 * /healthz (the process runs) and /readyz (the node serves) over HTTP, with flannel's texts; /metrics for Prometheus and /status
 * for people. /healthz never fails for anything that a restart would not mend: packets may well flow.
 */
import { createServer, type Server, type ServerResponse } from 'node:http';
import { DaemonError, messageOf } from '../errors.ts';
import type { Readiness } from './readiness.ts';

export interface HealthServer {
  readonly port: number;
  close(): void;
}

export interface HealthSources {
  readonly readiness: Readiness;
  readonly metrics: () => string;
  readonly status: () => object;
}

export async function startHealth(ip: string, port: number, sources: HealthSources): Promise<HealthServer> {
  const server = createPages(sources);
  await listen(server, ip, port);
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: () => endServer(server),
  };
}

/** The pages, not yet listening. */
export function createPages({ readiness, metrics, status }: HealthSources): Server {
  const server = createServer((request, response) => {
    const [path, query] = (request.url ?? '').split('?');
    if (request.method !== 'GET' && request.method !== 'HEAD') answer(response, 405, 'method not allowed');
    else if (path === '/healthz') answer(response, 200, 'flanneld is running');
    else if (path === '/readyz') answerReady(response, readiness, query === 'verbose');
    else if (path === '/metrics') answer(response, 200, metrics(), 'text/plain; version=0.0.4; charset=utf-8');
    else if (path === '/status') answer(response, 200, JSON.stringify(status(), undefined, 2), 'application/json');
    else answer(response, 404, 'not found');
  });
  // A probe that stays connected must not keep the process from ending.
  server.keepAliveTimeout = 1000;
  return server;
}

export function endServer(server: Server): void {
  server.close();
  server.closeAllConnections();
}

function answerReady(response: ServerResponse, readiness: Readiness, isVerbose: boolean): void {
  const details = isVerbose ? readiness.details : [];
  if (readiness.ready) answer(response, 200, ['flanneld is ready', ...details].join('\n'));
  else answer(response, 503, ['flanneld is not ready yet', ...readiness.reasons, ...details].join('\n'));
}

function answer(response: ServerResponse, status: number, text: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { 'content-type': type });
  response.end(text.endsWith('\n') ? text : `${text}\n`);
}

function listen(server: Server, ip: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new DaemonError(
          'KERNEL',
          `Cannot serve /healthz on ${ip.includes(':') ? `[${ip}]` : ip}:${port}: ${messageOf(error)}`,
          { cause: error },
        ),
      ),
    );
    server.listen(port, ip, resolve);
  });
}
