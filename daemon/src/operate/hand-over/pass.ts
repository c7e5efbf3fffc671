/** Descriptors by name, from one process to another, by a datagram to a socket that the receiver has made. */
import { rmSync } from 'node:fs';
import { isErrno } from '@flannel-ts/linux/errors';
import { closeFd, type Fd } from '@flannel-ts/linux/files';
import { receiveWithDescriptors, sendWithDescriptors } from '@flannel-ts/linux/pass-descriptors';
import { AF_UNIX, bind, MSG_DONTWAIT, SOCK_DGRAM, sockaddrUn, socket } from '@flannel-ts/linux/socket';

const MOST_BYTES = 4096;

export function sendDescriptors(path: string, descriptors: ReadonlyMap<string, Fd>): void {
  if (descriptors.size === 0) return;
  const fd = socket(AF_UNIX, SOCK_DGRAM);
  try {
    sendWithDescriptors(
      fd,
      Buffer.from([...descriptors.keys()].join('\n')),
      [...descriptors.values()],
      sockaddrUn(path),
    );
  } finally {
    closeFd(fd);
  }
}

export interface Receiver {
  readonly path: string;
  /** What has been sent; the caller's from now on. */
  receive(): Map<string, Fd>;
  close(): void;
}

/** Only this user may send to it. */
export function openReceiver(path: string): Receiver {
  rmSync(path, { force: true });
  const fd = socket(AF_UNIX, SOCK_DGRAM);
  // Not chmod() afterwards: whoever sends in between would be heard.
  const mask = process.umask(0o177);
  try {
    bind(fd, sockaddrUn(path));
  } catch (error) {
    closeFd(fd);
    throw error;
  } finally {
    process.umask(mask);
  }
  return {
    path,
    receive() {
      try {
        const { data, descriptors } = receiveWithDescriptors(fd, MOST_BYTES, MSG_DONTWAIT);
        const names = Buffer.from(data).toString().split('\n');
        return new Map(descriptors.map((descriptor, index) => [names[index] ?? '', descriptor]));
      } catch (error) {
        if (isErrno(error, 'EAGAIN')) return new Map();
        throw error;
      }
    },
    close() {
      closeFd(fd);
      rmSync(path, { force: true });
    },
  };
}
