/** Asks a service over HTTP whether it does its work. */
import { get } from 'node:http';

export interface Readiness {
  readonly ready: boolean;
  readonly answering: boolean;
}

export const NOT_ANSWERING: Readiness = { ready: false, answering: false };
const TIMEOUT_MS = 2_000;

export function askReadiness(url: string): Promise<Readiness> {
  return new Promise((resolve) => {
    const request = get(url, { agent: false, timeout: TIMEOUT_MS }, (response) => {
      response.resume();
      resolve({ ready: response.statusCode === 200, answering: true });
    });
    request.once('timeout', () => request.destroy());
    request.once('error', () => resolve(NOT_ANSWERING));
    request.once('close', () => resolve(NOT_ANSWERING));
  });
}
