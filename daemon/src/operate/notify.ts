/** sd_notify(3): notifies systemd about a Type=notify service. Node has no datagrams over unix sockets of its own. */
import { closeFd, type Fd } from '@flannel-ts/linux/files';
import { sendWithDescriptors } from '@flannel-ts/linux/pass-descriptors';
import { AF_UNIX, SOCK_DGRAM, sockaddrUn, socket } from '@flannel-ts/linux/socket';

/** Does nothing when there is no NOTIFY_SOCKET. */
export function notifySystemd(
  state: string,
  descriptors: readonly Fd[] = [],
  path: string | undefined = process.env.NOTIFY_SOCKET,
): void {
  if (path === undefined || !/^[/@]/.test(path)) return;
  const fd = socket(AF_UNIX, SOCK_DGRAM);
  try {
    sendWithDescriptors(fd, Buffer.from(state), descriptors, sockaddrUn(path));
  } finally {
    closeFd(fd);
  }
}
