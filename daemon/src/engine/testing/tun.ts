import { type Fd, ioctl, O_NONBLOCK, O_RDWR, openFile } from '@flannel-ts/linux/files';

const TUNSETIFF = 0x400454ca; // linux/if_tun.h
const IFF_TUN_NO_PI = 0x1001;

export function openTun(name: string): Fd {
  const fd = openFile('/dev/net/tun', O_RDWR | O_NONBLOCK);
  const ifreq = new Uint8Array(40);
  ifreq.set(new TextEncoder().encode(name));
  new DataView(ifreq.buffer).setUint16(16, IFF_TUN_NO_PI, true);
  ioctl(fd, TUNSETIFF, ifreq);
  return fd;
}
