/**
 * A host of our own on the bridge of pods: a TAP device as its port, whose other end is this process. It needs no network namespace,
 * which only CAP_SYS_ADMIN could make, and is gone with the process.
 */
import type { Family } from '@flannel-ts/inet/family';
import { familyOf, type Ip } from '@flannel-ts/inet/ip';
import type { Mac } from '@flannel-ts/inet/mac';
import { tryRead, tryWrite } from '@flannel-ts/linux/files';
import { type Device, open } from 'tun-tap/open';
import { decodeAnswer } from '../reach/echo.ts';
import type { EchoPort, Reply } from '../reach/socket.ts';
import { encodeFrame, hear, type Station } from './frames.ts';

export interface StationSettings extends Station {
  /** Of the port. */
  readonly name: string;
  readonly mtu: number;
  /** Whether messages that a destination is unreachable count as replies. */
  readonly errors: boolean;
}

/** How long others may wait for an answer of the station. */
const EVERY_MS = 50;
/** With the Ethernet header and a VLAN tag. */
const ETHERNET_BYTES = 18;
/** A flood on the bridge does not hold the process: what is left comes with the next look, or is dropped by the kernel. */
const MOST_FRAMES = 64;
/** Replies that nobody has taken. */
const MOST_REPLIES = 1024;

type Arrived = Omit<Reply, 'ageMs'> & { readonly family: Family; readonly at: number };

export class PodStation {
  private readonly device: Device;
  private readonly buffer: Uint8Array;
  private readonly timer: NodeJS.Timeout;
  private arrived: Arrived[] = [];
  /** The number of its descriptor may be another's by then. */
  private closed = false;
  /** The bridge, through which everything else is reached; one that nobody gave an address takes another with its ports. */
  gateway: Mac | undefined;

  constructor(private readonly settings: StationSettings) {
    this.buffer = new Uint8Array(settings.mtu + ETHERNET_BYTES);
    this.device = open({ name: settings.name, kind: 'tap', nonblocking: true });
    this.timer = setInterval(() => this.drain(), EVERY_MS);
  }

  /** Undefined for a family of which the station has no address. */
  port(family: Family): EchoPort | undefined {
    const own = this.settings.addresses.find((address) => familyOf(address) === family);
    if (own === undefined) return undefined;
    return {
      send: (target, message) => this.send(own, target, message),
      receive: () => this.receive(family),
      close: () => {},
    };
  }

  close(): void {
    this.closed = true;
    clearInterval(this.timer);
    this.device.close();
  }

  private send(own: Ip, target: Ip, message: Uint8Array): void {
    if (this.gateway !== undefined) this.write(encodeFrame(this.settings.mac, this.gateway, own, target, message));
  }

  private receive(family: Family): Reply | undefined {
    this.drain();
    const at = this.arrived.findIndex((reply) => reply.family === family);
    if (at < 0) return undefined;
    const [reply] = this.arrived.splice(at, 1);
    return { ...reply!, ageMs: performance.now() - reply!.at };
  }

  private drain(): void {
    if (this.closed) return;
    for (let i = 0; i < MOST_FRAMES; i++) {
      const length = tryRead(this.device.fd, this.buffer);
      if (length <= 0) return; // nothing there, or the device is gone, which its owner sees
      this.take(this.buffer.subarray(0, length));
    }
  }

  private take(frame: Uint8Array): void {
    const heard = hear(frame, this.settings);
    if (heard?.kind === 'answer') this.write(heard.frame);
    if (heard?.kind !== 'message' || this.arrived.length >= MOST_REPLIES) return;
    const { family, from, bytes } = heard;
    const answer = decodeAnswer(family, bytes);
    if (answer === undefined || (answer.unreachable && !this.settings.errors)) return;
    this.arrived.push({ ...answer, family, from, at: performance.now() });
  }

  /** What cannot be sent is as good as lost. */
  private write(frame: Uint8Array): void {
    if (!this.closed) tryWrite(this.device.fd, frame);
  }
}
