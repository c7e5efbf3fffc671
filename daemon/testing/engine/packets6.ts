import { ipToBytes, parseIp } from '@flannel-ts/inet/ip';
import { checksum6 } from '../../src/datapath/tun/engine/icmpv6.ts';
import { putWord } from '../../src/datapath/tun/engine/ipv4-header.ts';

export interface PacketFields6 {
  readonly from?: string;
  readonly to?: string;
  readonly hopLimit?: number;
  readonly nextHeader?: number;
  readonly trafficClass?: number;
  readonly flowLabel?: number;
  readonly payload?: Uint8Array;
}

/** An IPv6 packet; by default UDP from fd00:0:0:1::2 to fd00:0:0:2::2, without a right checksum of its own. */
export function ipv6Packet(fields: PacketFields6 = {}): Uint8Array {
  const { payload = new Uint8Array(8), trafficClass = 0, flowLabel = 0 } = fields;
  const packet = new Uint8Array(40 + payload.length);
  putWord(packet, 0, 0x6000 | (trafficClass << 4) | (flowLabel >>> 16));
  putWord(packet, 2, flowLabel & 0xffff);
  putWord(packet, 4, payload.length);
  packet[6] = fields.nextHeader ?? 17;
  packet[7] = fields.hopLimit ?? 64;
  packet.set(ipToBytes(parseIp(fields.from ?? 'fd00:0:0:1::2')), 8);
  packet.set(ipToBytes(parseIp(fields.to ?? 'fd00:0:0:2::2')), 24);
  packet.set(payload, 40);
  return packet;
}

/** A packet with an ICMPv6 message of this type and a right checksum. */
export function icmp6Packet(type: number, fields: PacketFields6 = {}): Uint8Array {
  const packet = ipv6Packet({ nextHeader: 58, payload: Uint8Array.of(type, 0, 0, 0, 1, 2, 3, 4), ...fields });
  putWord(packet, 42, checksum6(packet, 58, 40, packet.length - 40));
  return packet;
}

/** As it looks `hops` routers later. */
export function aged6(packet: Uint8Array, hops = 1): Uint8Array {
  const older = packet.slice();
  older[7]! -= hops;
  return older;
}
