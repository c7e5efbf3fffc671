import { fold, sumWords } from '../../../src/datapath/tun/engine/checksum.ts';
import { VNET_BYTES } from '../../../src/datapath/tun/engine/fast/assembly/layout.ts';
import { checksum6 } from '../../../src/datapath/tun/engine/icmpv6.ts';
import { putWord } from '../../../src/datapath/tun/engine/ipv4-header.ts';
import { ipv6Packet, type PacketFields6 } from '../packets6.ts';
import { TCP } from './segment.ts';

export interface Flow6 extends PacketFields6 {
  /** TCP or UDP. */
  readonly protocol: number;
  readonly flags?: number;
  readonly sequence?: number;
  readonly tcpOptions?: Uint8Array;
  /** Extension headers between the IPv6 header and the transport's; the first one is a hop-by-hop header. */
  readonly extensions?: Uint8Array;
  readonly data: Uint8Array;
}

/** Where the transport header begins, by the only extension header that is used here. */
function transportAt(packet: Uint8Array): number {
  return packet[6] === 0 ? 40 + (packet[41]! + 1) * 8 : 40;
}

function checksumAt(packet: Uint8Array, protocol: number): number {
  return transportAt(packet) + (protocol === TCP ? 16 : 6);
}

export function flow6Packet({ protocol, extensions = new Uint8Array(), ...fields }: Flow6): Uint8Array {
  const options = fields.tcpOptions ?? new Uint8Array();
  const header = protocol === TCP ? 20 + options.length : 8;
  const transport = new Uint8Array(header + fields.data.length);
  const view = new DataView(transport.buffer);
  view.setUint16(0, 1000);
  view.setUint16(2, 80);
  if (protocol === TCP) {
    view.setUint32(4, (fields.sequence ?? 0) >>> 0);
    view.setUint32(8, 7);
    view.setUint16(12, ((header / 4) << 12) | (fields.flags ?? 16));
    view.setUint16(14, 500);
    transport.set(options, 20);
  } else view.setUint16(4, transport.length);
  transport.set(fields.data, header);
  const nextHeader = extensions.length > 0 ? 0 : protocol;
  const payload = Uint8Array.from([...extensions, ...transport]);
  return sealed6(ipv6Packet({ ...fields, nextHeader, payload }), protocol);
}

function sealed6(packet: Uint8Array, protocol: number): Uint8Array {
  const at = transportAt(packet);
  putWord(packet, checksumAt(packet, protocol), 0);
  const checksum = checksum6(packet, protocol, at, packet.length - at);
  putWord(packet, checksumAt(packet, protocol), checksum === 0 ? 0xffff : checksum);
  return packet;
}

/** As the kernel hands it to a reader that does checksums (size 0) or segmentation itself. */
export function superPacket6(packet: Uint8Array, protocol: number, size: number, ecn = false): Uint8Array {
  const bytes = new Uint8Array(VNET_BYTES + packet.length);
  bytes.set(packet, VNET_BYTES);
  const own = bytes.subarray(VNET_BYTES);
  const at = transportAt(own);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, 1);
  view.setUint8(1, size === 0 ? 0 : (protocol === TCP ? 4 : 5) | (ecn ? 0x80 : 0));
  view.setUint16(2, own.length, true);
  view.setUint16(4, size, true);
  view.setUint16(6, at, true);
  view.setUint16(8, protocol === TCP ? 16 : 6, true);
  putWord(own, checksumAt(own, protocol), fold(sumWords(own, 8, 32) + own.length - at + protocol));
  return bytes;
}

/** What the kernel would make of it: the same packet cut and summed anew, plainly. */
export function segment6(bytes: Uint8Array, protocol: number): Uint8Array[] {
  const packet = bytes.slice(VNET_BYTES);
  const size = bytes[4]! | (bytes[5]! << 8);
  if (size === 0) return [sealed6(packet, protocol)];
  const at = transportAt(packet);
  const headers = at + (protocol === TCP ? (packet[at + 12]! >> 4) * 4 : 8);
  const parts: Uint8Array[] = [];
  for (let from = headers, index = 0; from < packet.length || index === 0; from += size, index++) {
    const part = Uint8Array.from([...packet.subarray(0, headers), ...packet.subarray(from, from + size)]);
    putWord(part, 4, part.length - 40);
    if (protocol === TCP) {
      const view = new DataView(part.buffer);
      view.setUint32(at + 4, (view.getUint32(at + 4) + index * size) >>> 0);
      if (from + size < packet.length) part[at + 13]! &= ~0x09;
      if (index > 0) part[at + 13]! &= ~0x80;
    } else putWord(part, at + 4, part.length - at);
    parts.push(sealed6(part, protocol));
  }
  return parts;
}

/** For a packet that is its own only segment. */
export function plain6(packet: Uint8Array): Uint8Array {
  return Uint8Array.from([...new Uint8Array(VNET_BYTES), ...packet]);
}
