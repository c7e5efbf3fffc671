import { closeFd, readFd } from '@flannel-ts/linux/files';
import { sockaddrUn } from '@flannel-ts/linux/sockaddr';
import {
  AF_UNIX,
  connect,
  SO_RCVTIMEO,
  SO_SNDTIMEO,
  SOCK_STREAM,
  setSocketTimeout,
  socket,
} from '@flannel-ts/linux/socket';
import { writeAll } from '@flannel-ts/linux/text-files';
import { codeOf, messageOf } from './errors.ts';

/** What keeps flanneld from being ready, or undefined: it is ready, or it is another flanneld that has no such socket. */
export function whyNotReady(subnetFile: string): string | undefined {
  // As in daemon/src/operate/socket.ts.
  const path = `${subnetFile.replace(/\.env$/, '')}.sock`;
  let answer: string;
  try {
    answer = ask(path, '/readyz');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    if (codeOf(error) === 'ECONNREFUSED') return 'flanneld does not run';
    return `flanneld does not answer on ${path}: ${messageOf(error)}`;
  }
  if (/^HTTP\/1\.[01] 200 /.test(answer)) return undefined;
  const body = answer.slice(answer.indexOf('\r\n\r\n') + 4).trim();
  return `flanneld is not ready: ${body.split('\n')[0] || 'it gives no reason'}`;
}

/** Status comes every few seconds; a daemon that is stopped must not keep it. */
const TIMEOUT_MS = 2000;

function ask(path: string, page: string): string {
  const fd = socket(AF_UNIX, SOCK_STREAM);
  try {
    setSocketTimeout(fd, SO_RCVTIMEO, TIMEOUT_MS);
    setSocketTimeout(fd, SO_SNDTIMEO, TIMEOUT_MS);
    connect(fd, sockaddrUn(path));
    writeAll(fd, new TextEncoder().encode(`GET ${page} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n`));
    const chunks: Uint8Array[] = [];
    for (;;) {
      const chunk = new Uint8Array(4096);
      const length = readFd(fd, chunk);
      if (length === 0) return new TextDecoder().decode(Buffer.concat(chunks));
      chunks.push(chunk.subarray(0, length));
    }
  } finally {
    closeFd(fd);
  }
}
