/** systemd's end of sd_notify(3), with the descriptors that a service has it keep. */
import { rmSync } from 'node:fs';
import { isErrno } from '@flannel-ts/linux/errors';
import { closeFd, type Fd } from '@flannel-ts/linux/files';
import { receiveWithDescriptors, type WithDescriptors } from '@flannel-ts/linux/pass-descriptors';
import { AF_UNIX, bind, MSG_DONTWAIT, SOCK_DGRAM, sockaddrUn, socket } from '@flannel-ts/linux/socket';

const MAX_MESSAGE = 4096;
/** A socket of this kind holds a few messages, and then the sender waits. */
const LOOK_EVERY_MS = 10;

export class NotifySocket {
  private readonly fd = socket(AF_UNIX, SOCK_DGRAM);
  private readonly messages: string[] = [];
  private readonly store = new Map<string, Fd>();
  private readonly timer: NodeJS.Timeout;

  constructor(readonly path: string) {
    bind(this.fd, sockaddrUn(path));
    this.timer = setInterval(() => this.receive(), LOOK_EVERY_MS);
  }

  /** All that was ever received. */
  received(): readonly string[] {
    this.receive();
    return this.messages;
  }

  /** What the service gets at its next start, by name. */
  kept(): ReadonlyMap<string, Fd> {
    this.receive();
    return this.store;
  }

  /** As when the service is stopped and not started again. */
  dropKept(): void {
    this.receive();
    for (const fd of this.store.values()) closeFd(fd);
    this.store.clear();
  }

  close(): void {
    clearInterval(this.timer);
    this.dropKept();
    closeFd(this.fd);
    rmSync(this.path, { force: true });
  }

  private receive(): void {
    for (let message = this.next(); message !== undefined; message = this.next()) {
      const text = Buffer.from(message.data).toString();
      this.messages.push(text);
      const fields = new Map(text.split('\n').map((line) => line.split('=') as [string, string]));
      const name = fields.get('FDNAME');
      if (name === undefined) continue;
      if (fields.get('FDSTOREREMOVE') === '1') this.remove(name);
      for (const fd of message.descriptors) this.store.set(name, fd);
    }
  }

  private next(): WithDescriptors | undefined {
    try {
      return receiveWithDescriptors(this.fd, MAX_MESSAGE, MSG_DONTWAIT);
    } catch (error) {
      if (isErrno(error, 'EAGAIN')) return undefined;
      throw error;
    }
  }

  private remove(name: string): void {
    const fd = this.store.get(name);
    if (fd !== undefined) closeFd(fd);
    this.store.delete(name);
  }
}
