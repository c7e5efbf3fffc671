import { type Ip, ipToBytes, isIpv6 } from '@flannel-ts/inet/ip';
import { type Mac, macToBytes } from '@flannel-ts/inet/mac';
import { withNetns } from '@flannel-ts/linux/enter-netns';
import { closeFd, type Fd } from '@flannel-ts/linux/files';
import { AF_PACKET, SOCK_RAW, sendTo, socket } from '@flannel-ts/linux/socket';

/**
 * Tells the neighbours at which MAC address the pod's addresses are now: who had them before may still be in their tables. The kernel
 * would do it when the link comes up (arp_notify, ndisc_notify), but by then the bridge's port does not forward yet.
 */
export function announce(sandbox: Fd, index: number, mac: Mac, addresses: readonly Ip[]): void {
  try {
    const fd = withNetns(sandbox, () => socket(AF_PACKET, SOCK_RAW, 0));
    try {
      for (const ip of addresses) {
        const frame = isIpv6(ip) ? neighbourAdvertisement(mac, ip) : gratuitousArp(mac, ip);
        sendTo(fd, frame, 0, sockaddrLl(index));
      }
    } finally {
      closeFd(fd);
    }
  } catch {
    // A help only: without it, neighbours ask again when nobody answers.
  }
}

/** `struct sockaddr_ll` (linux/if_packet.h), of which sending needs family and interface. */
function sockaddrLl(index: number): Uint8Array {
  const bytes = new Uint8Array(20);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setInt32(4, index, true);
  return bytes;
}

const ARP = [0x08, 0x06];
const IPV6 = [0x86, 0xdd];

/** RFC 5227, 3: a request for the sender's own address. */
export function gratuitousArp(mac: Mac, ip: Ip): Uint8Array {
  const [own, address] = [macToBytes(mac), ipToBytes(ip)];
  const header = [0, 1, 0x08, 0x00, 6, 4, 0, 1]; // Ethernet, IPv4, lengths, request
  return Uint8Array.of(
    ...Array(6).fill(0xff),
    ...own,
    ...ARP,
    ...header,
    ...own,
    ...address,
    ...Array(6).fill(0),
    ...address,
  );
}

/** RFC 4861, 7.2.6: unsolicited, to all nodes, overriding what they know. */
export function neighbourAdvertisement(mac: Mac, ip: Ip): Uint8Array {
  const [own, address] = [macToBytes(mac), ipToBytes(ip)];
  const allNodes = [0xff, 0x02, ...Array(13).fill(0), 1];
  const OVERRIDE = 0x20;
  // Type and code, checksum, flags, target, option of the target's link-layer address.
  const message = Uint8Array.of(136, 0, 0, 0, OVERRIDE, 0, 0, 0, ...address, 2, 1, ...own);
  const pseudo = Uint8Array.of(...address, ...allNodes, 0, 0, 0, message.length, 0, 0, 0, ICMPV6);
  new DataView(message.buffer).setUint16(2, checksum(Uint8Array.of(...pseudo, ...message)));
  const HOP_LIMIT = 255;
  const header = [0x60, 0, 0, 0, 0, message.length, ICMPV6, HOP_LIMIT, ...address, ...allNodes];
  return Uint8Array.of(0x33, 0x33, 0, 0, 0, 1, ...own, ...IPV6, ...header, ...message);
}

const ICMPV6 = 58;

/** RFC 1071, of an even number of bytes. */
function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
