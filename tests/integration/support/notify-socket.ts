/** systemd's end of sd_notify(3). */
import { rmSync } from 'node:fs';
import { closeFd, setNonblocking } from '@flannel-ts/linux/files';
import { AF_UNIX, bind, SOCK_DGRAM, socket, tryRecvFrom } from '@flannel-ts/linux/socket';

export class NotifySocket {
  private readonly fd = socket(AF_UNIX, SOCK_DGRAM);
  private readonly messages: string[] = [];

  constructor(readonly path: string) {
    bind(this.fd, Buffer.concat([Uint8Array.of(AF_UNIX, 0), Buffer.from(`${path}\0`)]));
    setNonblocking(this.fd, true);
  }

  /** All that was ever received. */
  received(): readonly string[] {
    const buffer = new Uint8Array(4096);
    for (;;) {
      const length = tryRecvFrom(this.fd, buffer, 0, new Uint8Array(128));
      if (length < 0) return this.messages;
      this.messages.push(Buffer.from(buffer.subarray(0, length)).toString());
    }
  }

  close(): void {
    closeFd(this.fd);
    rmSync(this.path, { force: true });
  }
}
