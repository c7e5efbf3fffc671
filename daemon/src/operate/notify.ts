/** sd_notify(3): notifies systemd that a Type=notify service is ready. Node has no datagrams over unix sockets of its own. */
import { closeFd } from '@flannel-ts/linux/files';
import { AF_UNIX, SOCK_DGRAM, sendTo, socket } from '@flannel-ts/linux/socket';

/** Does nothing when there is no NOTIFY_SOCKET. */
export function notifySystemd(state: string, path: string | undefined = process.env.NOTIFY_SOCKET): void {
  if (path === undefined || !/^[/@]/.test(path)) return;
  const fd = socket(AF_UNIX, SOCK_DGRAM);
  try {
    sendTo(fd, Buffer.from(state), 0, sockaddrUn(path));
  } finally {
    closeFd(fd);
  }
}

/** `struct sockaddr_un`; a leading @ stands for the zero byte of an abstract name (unix(7)). */
function sockaddrUn(path: string): Uint8Array {
  const name = Buffer.from(path.startsWith('@') ? `\0${path.slice(1)}` : `${path}\0`);
  return Buffer.concat([Uint8Array.of(AF_UNIX, 0), name]);
}
