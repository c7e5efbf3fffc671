import { putWord } from '../../../src/datapath/tun/engine/ipv4-header.ts';
import { ipv4Packet, type PacketFields } from '../packets.ts';
import { TCP, UDP, withChecksums } from './segment.ts';

export interface TcpFields extends PacketFields {
  readonly ports?: readonly [number, number];
  readonly sequence?: number;
  readonly acknowledgement?: number;
  readonly flags?: number;
  readonly window?: number;
  readonly tcpOptions?: Uint8Array;
  readonly data?: Uint8Array;
}

export const FLAGS = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32, ece: 64, cwr: 128 } as const;

export function tcpPacket(fields: TcpFields = {}): Uint8Array {
  const { ports = [1000, 80], tcpOptions = new Uint8Array(), data = new Uint8Array() } = fields;
  const header = 20 + tcpOptions.length;
  const segment = new Uint8Array(header + data.length);
  const view = new DataView(segment.buffer);
  view.setUint16(0, ports[0]);
  view.setUint16(2, ports[1]);
  view.setUint32(4, (fields.sequence ?? 0) >>> 0);
  view.setUint32(8, fields.acknowledgement ?? 7);
  segment[12] = (header / 4) << 4;
  segment[13] = fields.flags ?? FLAGS.ack;
  view.setUint16(14, fields.window ?? 500);
  segment.set(tcpOptions, 20);
  segment.set(data, header);
  return withChecksums(ipv4Packet({ dontFragment: true, ...fields, protocol: TCP, payload: segment }));
}

export function udpPacket(fields: TcpFields = {}): Uint8Array {
  const { ports = [1000, 53], data = new Uint8Array() } = fields;
  const datagram = new Uint8Array(8 + data.length);
  putWord(datagram, 0, ports[0]);
  putWord(datagram, 2, ports[1]);
  putWord(datagram, 4, datagram.length);
  datagram.set(data, 8);
  return withChecksums(ipv4Packet({ dontFragment: true, ...fields, protocol: UDP, payload: datagram }));
}

/** Bytes that tell their place. */
export function bytes(length: number, from = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (from + i) * 31 + ((from + i) >> 8));
}
