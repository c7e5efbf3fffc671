import { release } from 'node:os';
import { ioctl } from '@flannel-ts/linux/files';
import { SOL_UDP, setSocketOption, UDP_GRO, UDP_SEGMENT } from '@flannel-ts/linux/socket';
import * as tun from 'tun-tap/constants';
import type { Abilities } from './forwarder.ts';

/** Richest first: USO came with Linux 6.2. A kernel that does not know a bit refuses the whole mask. */
const CSUM_TSO = tun.TUN_F_CSUM | tun.TUN_F_TSO4 | tun.TUN_F_TSO6;
const USO = tun.TUN_F_USO4 | tun.TUN_F_USO6;
const LADDER = [CSUM_TSO | tun.TUN_F_TSO_ECN | USO, CSUM_TSO | USO, CSUM_TSO | tun.TUN_F_TSO_ECN, CSUM_TSO];

/** Turns on the offloads that device, socket and kernel support. Undone by releaseAbilities(). */
export function acquireAbilities(tunFd: number, socketFd: number, wanted: boolean, mergeReceived = true): Abilities {
  const vnet = hasVnetHeader(tunFd);
  if (!wanted) return { vnet, segment: false, merging: { tcp: false, udp: false } };
  const offloads = vnet ? (LADDER.find((mask) => attempt(() => ioctl(tunFd, tun.TUNSETOFFLOAD, mask))) ?? 0) : 0;
  const gro = mergeReceived && attempt(() => setSocketOption(socketFd, SOL_UDP, UDP_GRO, 1));
  // 0 changes nothing, but a kernel without UDP_SEGMENT rejects the option.
  const segment = !isSegmentationBroken(release()) && attempt(() => setSocketOption(socketFd, SOL_UDP, UDP_SEGMENT, 0));
  return { vnet, segment, gro, merging: { tcp: offloads !== 0, udp: (offloads & USO) !== 0 } };
}

/** Leaves device and socket in the state that another engine expects. */
export function releaseAbilities(tunFd: number, socketFd: number): void {
  attempt(() => ioctl(tunFd, tun.TUNSETOFFLOAD, 0));
  attempt(() => setSocketOption(socketFd, SOL_UDP, UDP_GRO, 0));
}

/** Linux 7.0 to 7.1.4 send wrong headers when all segments have one length (commit b10b446, fixed by 78effd8 and 5f17ae0). */
export function isSegmentationBroken(kernel: string): boolean {
  const [major = 0, minor = 0, patch = 0] = kernel.split(/[.-]/).map((part) => Number.parseInt(part, 10) || 0);
  return major === 7 && (minor === 0 || (minor === 1 && patch < 5));
}

function hasVnetHeader(tunFd: number): boolean {
  const ifreq = new Uint8Array(40);
  if (!attempt(() => ioctl(tunFd, tun.TUNGETIFF, ifreq))) return false;
  return (new DataView(ifreq.buffer).getUint16(16, true) & tun.IFF_VNET_HDR) !== 0;
}

/** Whether it succeeds. An invalid descriptor is reported by the first read. */
function attempt(action: () => unknown): boolean {
  try {
    action();
    return true;
  } catch {
    return false;
  }
}
