import { ioctl } from '@flannel-ts/linux/files';
import { IFF_VNET_HDR, TUNGETIFF, TUNSETOFFLOAD, VNET_HEADER_BYTES } from 'tun-tap/constants';

/** Bytes before each packet of this TUN device: the size of a virtio header, or 0. Throws if it is not a TUN device. */
export function headerBytesOf(tunFd: number): number {
  const ifreq = new Uint8Array(40); // struct ifreq: 16 bytes of name, then the flags
  ioctl(tunFd, TUNGETIFF, ifreq);
  return (new DataView(ifreq.buffer).getUint16(16, true) & IFF_VNET_HDR) === 0 ? 0 : VNET_HEADER_BYTES;
}

/** Makes the kernel complete checksums and segment super-packets itself: the virtio header is then always empty. */
export function refuseOffloads(tunFd: number): void {
  ioctl(tunFd, TUNSETOFFLOAD, 0);
}

/** A buffer with room before it for a virtio header. */
export function packetBuffer(bytes: number): Uint8Array {
  return new Uint8Array(VNET_HEADER_BYTES + bytes).subarray(VNET_HEADER_BYTES);
}
