import type { Fd } from '@flannel-ts/linux/files';
import { socketDrops } from '@flannel-ts/linux/socket';

/** Packets that the kernel dropped at a socket while an engine used it, as a number that does not wrap. */
export class SocketDrops {
  #last: number | undefined;
  #total = 0;

  constructor(
    readonly fd: Fd,
    readonly read: (fd: Fd) => number = socketDrops,
  ) {
    this.#last = this.#tryRead();
  }

  /** Asks the kernel. Does not throw: a kernel before 4.12 does not know, and a descriptor may be gone. */
  sample(): number {
    const now = this.#tryRead();
    if (now !== undefined && this.#last !== undefined) this.#total += (now - this.#last) >>> 0;
    this.#last = now ?? this.#last;
    return this.#total;
  }

  /** As of the last sample. */
  get total(): number {
    return this.#total;
  }

  #tryRead(): number | undefined {
    try {
      return this.read(this.fd);
    } catch {
      return undefined;
    }
  }
}
