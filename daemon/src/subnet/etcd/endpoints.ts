/** The addresses of etcd as users write them. */

import { ETCD_CLIENT_PORT } from '@flannel-ts/flannel/defaults';

export interface Endpoints {
  /** Like https://10.0.0.1:2379. */
  readonly endpoints: readonly string[];
  /** What was added to what was written, for the log. */
  readonly notes: readonly string[];
}

/**
 * A comma-separated list. Without a scheme it is that of the certificates that were given, as in etcd's own client, which
 * flannel uses; without a port it is etcd's. Throws an error with a sentence for what is no endpoint.
 */
export function parseEndpoints(text: string, secure: boolean): Endpoints {
  const written = text
    .split(',')
    .map((part) => unquote(part.trim()))
    .filter((part) => part !== '');
  const parsed = written.map((part) => ({ part, endpoint: parseEndpoint(part, secure ? 'https' : 'http') }));
  return {
    endpoints: [...new Set(parsed.map(({ endpoint }) => endpoint))],
    notes: parsed
      .filter(({ part, endpoint }) => part.replace(/\/+$/, '').toLowerCase() !== endpoint)
      .map(({ part, endpoint }) => `Using ${endpoint} for the etcd endpoint ${part}`),
  };
}

const ENDPOINT = /^(?:(https?):\/\/)?(\[[\da-f:.]+\]|[^/:@\s"'[\]]+)(?::(\d{1,5}))?\/*$/i;

function parseEndpoint(part: string, scheme: string): string {
  const [, written = scheme, host, port = String(ETCD_CLIENT_PORT)] = ENDPOINT.exec(part) ?? [];
  if (host === undefined || Number(port) < 1 || Number(port) > 65_535) {
    throw new Error(
      `Invalid etcd endpoint ${JSON.stringify(withoutPassword(part))}: write it like http://10.0.0.1:2379${hint(part)}`,
    );
  }
  return `${written}://${host}:${Number(port)}`.toLowerCase();
}

function hint(part: string): string {
  const host = part.replace(/^[a-z]+:\/\//i, '').replace(/\/.*$/, '');
  if (/^[\da-f:]+$/i.test(host) && host.split(':').length > 2)
    return `, an IPv6 address in brackets: http://[fd00::1]:2379`;
  if (host.includes('@')) return ', and give user and password with -etcd-username and FLANNELD_ETCD_PASSWORD';
  return '';
}

function unquote(part: string): string {
  return /^(["'])(.*)\1$/.exec(part)?.[2] ?? part;
}

function withoutPassword(part: string): string {
  return part.replace(/:[^:/@]*@/, ':...@');
}
