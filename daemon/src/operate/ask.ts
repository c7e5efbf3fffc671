/** Asks a running flanneld for one of its pages, over its unix socket. */
import { request } from 'node:http';
import { isErrno } from '@flannel-ts/linux/errors';
import { messageOf } from '../errors.ts';

export type Answer =
  | { readonly kind: 'answer'; readonly text: string }
  /** Nobody listens. */
  | { readonly kind: 'absent' }
  /** Somebody listens and does not answer. */
  | { readonly kind: 'silent' }
  | { readonly kind: 'failed'; readonly reason: string };

/** Never rejects. `page` is a path like `/status`. */
export function askDaemon(socketPath: string, page: string, timeoutMs: number): Promise<Answer> {
  return new Promise((resolve) => {
    const asked = request({ socketPath, path: page, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.once('end', () => settle({ kind: 'answer', text }));
      response.once('error', (error) => settle({ kind: 'failed', reason: messageOf(error) }));
    });
    const timer = setTimeout(() => settle({ kind: 'silent' }), timeoutMs);
    const settle = (answer: Answer): void => {
      clearTimeout(timer);
      asked.destroy();
      resolve(answer);
    };
    asked.once('error', (error) => settle(outcomeOf(error, socketPath)));
    asked.end();
  });
}

function outcomeOf(error: Error, socketPath: string): Answer {
  // Bun's own code for both.
  if (isErrno(error, 'ENOENT', 'ECONNREFUSED', 'FailedToOpenSocket', 'ConnectionRefused')) return { kind: 'absent' };
  if (isErrno(error, 'EACCES', 'EPERM')) return { kind: 'failed', reason: `${socketPath} is for root only: use sudo` };
  return { kind: 'failed', reason: messageOf(error) };
}
