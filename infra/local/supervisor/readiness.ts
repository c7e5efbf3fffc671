/** Asks a service over HTTP, encrypted or not, whether it does its work. */
import { get as getPlain } from 'node:http';
import { get as getEncrypted } from 'node:https';

export interface Readiness {
  readonly ready: boolean;
  readonly answering: boolean;
}

export const NOT_ANSWERING: Readiness = { ready: false, answering: false };
const TIMEOUT_MS = 2_000;

export function askReadiness(url: string): Promise<Readiness> {
  return new Promise((resolve) => {
    const get = url.startsWith('https:') ? getEncrypted : getPlain;
    // Asked on the machine itself, and told nothing: whose certificate it is does not matter.
    const options = { agent: false, timeout: TIMEOUT_MS, rejectUnauthorized: false };
    const request = get(url, options, (response) => {
      response.resume();
      resolve({ ready: response.statusCode === 200, answering: true });
    });
    request.once('timeout', () => request.destroy());
    request.once('error', () => resolve(NOT_ANSWERING));
    request.once('close', () => resolve(NOT_ANSWERING));
  });
}
