import { fold, sumWords } from '../../../src/datapath/tun/engine/checksum.ts';
import { VNET_BYTES } from '../../../src/datapath/tun/engine/fast/assembly/layout.ts';
import { putWord, word } from '../../../src/datapath/tun/engine/ipv4-header.ts';
import { sealed } from '../packets.ts';

export const TCP = 6;
export const UDP = 17;

/** The checksum field of TCP or UDP, from the packet's protocol. */
function checksumAt(packet: Uint8Array): number {
  return (packet[0]! & 15) * 4 + (packet[9] === TCP ? 16 : 6);
}

function pseudoSum(packet: Uint8Array, length: number): number {
  return sumWords(packet, 12, 8) + packet[9]! + length;
}

/** Computes both checksums of a TCP or UDP packet. */
export function withChecksums(packet: Uint8Array): Uint8Array {
  const ip = (packet[0]! & 15) * 4;
  const at = checksumAt(packet);
  putWord(packet, at, 0);
  const length = packet.length - ip;
  const checksum = ~fold(pseudoSum(packet, length) + sumWords(packet, ip, length)) & 0xffff;
  putWord(packet, at, checksum === 0 && packet[9] === UDP ? 0xffff : checksum);
  return sealed(packet);
}

/**
 * What the kernel makes of a packet behind a virtio header: tcp_gso_segment, __udp_gso_segment and skb_checksum_help, written
 * down once more, plainly.
 */
export function segment(bytes: Uint8Array): Uint8Array[] {
  const packet = bytes.slice(VNET_BYTES);
  const header = new DataView(bytes.buffer, bytes.byteOffset);
  const [flags, type, size] = [bytes[0]!, bytes[1]! & 0x7f, header.getUint16(4, true)];
  if (type === 0) {
    return [flags === 0 ? packet : withChecksums(packet)];
  }
  if (flags !== 1) throw new Error('A super-packet needs NEEDS_CSUM');
  const ip = (packet[0]! & 15) * 4;
  if (header.getUint16(6, true) !== ip || ip + header.getUint16(8, true) !== checksumAt(packet)) {
    throw new Error('csum_start or csum_offset is wrong');
  }
  if (word(packet, checksumAt(packet)) !== fold(pseudoSum(packet, packet.length - ip))) {
    throw new Error('The checksum field does not hold the sum of the pseudo header');
  }
  const tcp = type === 1;
  const headers = ip + (tcp ? (packet[ip + 12]! >> 4) * 4 : 8);
  const parts: Uint8Array[] = [];
  for (let at = headers, index = 0; at < packet.length || index === 0; at += size, index++) {
    const payload = packet.subarray(at, at + size);
    const part = Uint8Array.from([...packet.subarray(0, headers), ...payload]);
    putWord(part, 2, part.length);
    putWord(part, 4, (word(packet, 4) + index) & 0xffff);
    if (tcp) {
      const view = new DataView(part.buffer);
      view.setUint32(ip + 4, (view.getUint32(ip + 4) + index * size) >>> 0);
      if (at + size < packet.length) part[ip + 13]! &= ~0x09;
      if (index > 0) part[ip + 13]! &= ~0x80;
    } else {
      putWord(part, ip + 4, 8 + payload.length);
    }
    parts.push(withChecksums(part));
  }
  return parts;
}

/** A packet behind a virtio header, as the kernel hands it to a reader that does checksums and segmentation itself. */
export function superPacket(packet: Uint8Array, size: number, ecn = false): Uint8Array {
  const bytes = new Uint8Array(VNET_BYTES + packet.length);
  bytes.set(packet, VNET_BYTES);
  const own = bytes.subarray(VNET_BYTES);
  const ip = (own[0]! & 15) * 4;
  const view = new DataView(bytes.buffer);
  const tcp = own[9] === TCP;
  view.setUint8(0, 1);
  view.setUint8(1, size === 0 ? 0 : (tcp ? 1 : 5) | (ecn ? 0x80 : 0));
  view.setUint16(2, own.length, true); // as in forwarded packets: not the length of the headers
  view.setUint16(4, size, true);
  view.setUint16(6, ip, true);
  view.setUint16(8, tcp ? 16 : 6, true);
  putWord(own, checksumAt(own), fold(pseudoSum(own, own.length - ip)));
  return bytes;
}
