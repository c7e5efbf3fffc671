import { parseIp } from '@flannel-ts/inet/ip';
import { internetChecksum } from '../../src/datapath/tun/engine/checksum.ts';
import { putAddress, putWord } from '../../src/datapath/tun/engine/ipv4-header.ts';

export interface PacketFields {
  readonly from?: string;
  readonly to?: string;
  readonly ttl?: number;
  readonly protocol?: number;
  readonly tos?: number;
  readonly identification?: number;
  readonly dontFragment?: boolean;
  readonly moreFragments?: boolean;
  /** In units of 8 bytes. */
  readonly fragmentOffset?: number;
  /** Length a multiple of 4. */
  readonly options?: Uint8Array;
  readonly payload?: Uint8Array;
}

/** An IPv4 packet with a right header checksum; by default UDP from 10.1.0.2 to 10.2.0.2. */
export function ipv4Packet(fields: PacketFields = {}): Uint8Array {
  const { options = new Uint8Array(), payload = new Uint8Array(8) } = fields;
  const header = 20 + options.length;
  const packet = new Uint8Array(header + payload.length);
  packet[0] = 0x40 | (header / 4);
  packet[1] = fields.tos ?? 0;
  putWord(packet, 2, packet.length);
  putWord(packet, 4, fields.identification ?? 0);
  const flags = (fields.dontFragment ? 0x4000 : 0) | (fields.moreFragments ? 0x2000 : 0);
  putWord(packet, 6, flags | (fields.fragmentOffset ?? 0));
  packet[8] = fields.ttl ?? 64;
  packet[9] = fields.protocol ?? 17;
  putAddress(packet, 12, parseIp(fields.from ?? '10.1.0.2', 4));
  putAddress(packet, 16, parseIp(fields.to ?? '10.2.0.2', 4));
  packet.set(options, 20);
  packet.set(payload, header);
  return sealed(packet);
}

/** The same packet with its header checksum computed anew, after a test bent a field. */
export function sealed(packet: Uint8Array): Uint8Array {
  const header = (packet[0]! & 0x0f) * 4;
  putWord(packet, 10, 0);
  putWord(packet, 10, internetChecksum(packet, 0, Math.min(header, packet.length)));
  return packet;
}

/** An ICMP message of this type with a right checksum, as the payload of a packet. */
export function icmpMessage(type: number, code = 0, rest = new Uint8Array(4)): Uint8Array {
  const message = new Uint8Array(4 + rest.length);
  message[0] = type;
  message[1] = code;
  message.set(rest, 4);
  putWord(message, 2, internetChecksum(message, 0, message.length));
  return message;
}

export function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));
}
