import { type Fd, ioctl } from '@flannel-ts/linux/files';
import { encodeIfreq } from './ifreq.ts';

/** linux/sockios.h */
const SIOCSIFTXQLEN = 0x8943;

/**
 * How many packets wait for whoever reads the device before the kernel drops some; 500 without it (drivers/net/tun.c, TUN_READQ_SIZE).
 * `socket`, of any kind, says in which network namespace the device is.
 */
export function setQueueLength(socket: Fd, device: string, packets: number): void {
  ioctl(socket, SIOCSIFTXQLEN, encodeIfreq(device, packets));
}
