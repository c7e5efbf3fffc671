/** For tests: a transport that records requests and plays the kernel from a script. */
import type { NetlinkMessage } from '../src/message.ts';
import { encodeMessage, NLMSG_ERROR, parseMessages } from '../src/message.ts';
import type { Datagram, Transport } from '../src/transport.ts';

/** What the kernel answers to a request: datagrams of messages, of which `seq` and `pid` are filled in. */
export type Script = (request: NetlinkMessage, count: number) => readonly (readonly Partial<NetlinkMessage>[])[];

export interface ScriptedTransport extends Transport {
  readonly requests: NetlinkMessage[];
  /** Puts a datagram of any sender in front of what the script answers. */
  inject(datagram: Datagram): void;
  closed: boolean;
}

/** A struct nlmsgerr without an error. */
export const SUCCESS: Partial<NetlinkMessage> = { type: NLMSG_ERROR, payload: new Uint8Array(20) };

export function scriptedTransport(script: Script = () => [[SUCCESS]]): ScriptedTransport {
  const queue: Datagram[] = [];
  const injected: Datagram[] = [];
  const transport: ScriptedTransport = {
    requests: [],
    portId: 77,
    closed: false,
    inject: (datagram) => void injected.push(datagram),
    send: (bytes) => {
      for (const request of parseMessages(bytes)) {
        transport.requests.push(request);
        queue.push(...injected.splice(0));
        for (const messages of script(request, transport.requests.length)) {
          const parts = messages.map((m) =>
            encodeMessage({ type: 0, flags: 0, seq: request.seq, pid: 77, payload: new Uint8Array(0), ...m }),
          );
          queue.push({ bytes: Uint8Array.from(parts.flatMap((part) => [...part])), sender: 0 });
        }
      }
    },
    receive: () => {
      const datagram = queue.shift();
      if (!datagram) throw new Error('The script has no more datagrams');
      return datagram;
    },
    close: () => {
      transport.closed = true;
    },
  };
  return transport;
}

export function fromHex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replace(/\s+/g, ''), 'hex'));
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
