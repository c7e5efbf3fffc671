/** What the process that publishes a port is told: a file, read again for each connection, so that a change interrupts none. */
import { readFileSync } from 'node:fs';
import type { Protocol } from '../publications.ts';

export interface PublishPlan {
  readonly protocol: Protocol;
  readonly target: ForwardTarget;
}

export type ForwardTarget =
  /** `ADDRESS:PORT`; the next one is for when one does not answer. */
  | { readonly endpoints: readonly string[] }
  /** A name that the cluster's DNS knows, and its port. */
  | { readonly name: string; readonly port: number; readonly dns: string };

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export function readPlan(path: string): PublishPlan {
  return JSON.parse(readFileSync(path, 'utf8')) as PublishPlan;
}

export function parseEndpoint(text: string): Endpoint {
  const [host = '', port] = text.split(':');
  return { host, port: Number(port) };
}
