import { type Fd, ioctl } from '@flannel-ts/linux/files';

/** linux/sockios.h */
const SIOCSIFTXQLEN = 0x8943;
const IFNAMSIZ = 16;
/** struct ifreq. */
const IFREQ_BYTES = 40;

/**
 * How many packets wait for whoever reads the device before the kernel drops some; 500 without it (drivers/net/tun.c, TUN_READQ_SIZE).
 * `socket`, of any kind, says in which network namespace the device is.
 */
export function setQueueLength(socket: Fd, device: string, packets: number): void {
  const request = Buffer.alloc(IFREQ_BYTES);
  request.write(device, 0, IFNAMSIZ - 1, 'latin1');
  request.writeInt32LE(packets, IFNAMSIZ);
  ioctl(socket, SIOCSIFTXQLEN, request);
}
