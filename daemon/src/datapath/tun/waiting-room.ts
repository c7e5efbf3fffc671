/**
 * Where packets wait while one engine takes over from another: the queue of the device, and the buffer of the socket, which is larger
 * meanwhile. An engine that begins reads them at once.
 */
import type { Fd } from '@flannel-ts/linux/files';
import type { Logger } from 'pino';
import { setQueueLength } from 'tun-tap/queue-length';
import { sleep } from '../../abort.ts';
import { messageOf } from '../../errors.ts';
import { setWaitingRoom } from './engine/socket.ts';

/** The engine has read by then what waited for it. */
const DRAIN_MS = 1000;
/**
 * Packets that the device keeps while one engine takes over from another: the windows of two fast TCP streams in packets of the usual
 * MTU, since nothing is merged while no engine asks for it. The kernel's 500 lose some. Another length later would cost a packet, since
 * the kernel stops the queue for it.
 */
const QUEUE_LENGTH = 5000;

export class WaitingRoom {
  constructor(
    /** The one in use. */
    private readonly socket: () => Fd,
    private readonly signal: AbortSignal,
    private readonly log: Logger,
  ) {}

  /** Of a device that was made just now. */
  makeIn(device: string): void {
    try {
      setQueueLength(this.socket(), device, QUEUE_LENGTH);
    } catch (error) {
      this.log.debug(`The device keeps its queue of 500 packets: ${messageOf(error)}`);
    }
  }

  open(): void {
    setWaitingRoom(this.socket(), true);
  }

  /** An engine runs, and has read in a moment what waited. */
  closeSoon(): void {
    void sleep(DRAIN_MS, this.signal).then(() => {
      if (!this.signal.aborted) setWaitingRoom(this.socket(), false);
    });
  }
}
