/**
 * What the kernel offered, tried before it is relied on: there are kernels that take an offload and then do it wrong. What
 * fails is not used; what cannot be tried (a device that is down, no loopback) is found out in use, see egress.ts, ingress.ts.
 */
import { parseIp } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { EINVAL } from '@flannel-ts/linux/errno';
import { closeFd, type Fd } from '@flannel-ts/linux/files';
import { POLLIN, pollFds } from '@flannel-ts/linux/poll';
import {
  AF_INET,
  bind,
  getSockName,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_UDP,
  sendTo,
  setSocketOption,
  sockaddrIn,
  socket,
  tryRecvFrom,
  UDP_SEGMENT,
} from '@flannel-ts/linux/socket';
import { fold, internetChecksum, sumWords } from '../checksum.ts';
import * as layout from './assembly/layout.ts';
import type { Merging } from './ingress.ts';
import type { Ports } from './ports.ts';
import type { Wasm } from './wasm.ts';

export type Outcome = 'passed' | 'failed' | 'unknown';

const SIZE = 100;
/** Payloads in segments of SIZE: kernels 7.0 to 7.1.4 are wrong when all are equal, 6.6.44 and 6.10 when the last is short. */
const PAYLOADS = [3 * SIZE, 3 * SIZE + SIZE / 2];
const LOOPBACK_MS = 100;

// linux/virtio_net.h
const NEEDS_CSUM = 1;
const GSO_TCPV4 = 1;
const GSO_UDP_L4 = 5;

/** Lets the kernel cut datagrams for a socket of this thread's namespace that does not take them whole. */
export function testSegmentation(): Outcome {
  const opened: Fd[] = [];
  const open = (): Fd => opened[opened.push(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK)) - 1]!;
  try {
    const [receiver, sender] = [open(), open()];
    bind(receiver, sockaddrIn(parseIp('127.0.0.1'), 0));
    const address = getSockName(receiver);
    setSocketOption(sender, SOL_UDP, UDP_SEGMENT, SIZE);
    for (const length of PAYLOADS) {
      const payload = Uint8Array.from({ length }, (_, i) => i * 7);
      sendTo(sender, payload, 0, address);
      const outcome = receiveSegments(receiver, payload);
      if (outcome !== 'passed') return outcome;
    }
    return 'passed';
  } catch {
    return 'unknown';
  } finally {
    for (const fd of opened) closeFd(fd);
  }
}

function receiveSegments(fd: Fd, payload: Uint8Array): Outcome {
  const buffer = new Uint8Array(2 * SIZE);
  const sender = new Uint8Array(16);
  for (let at = 0; at < payload.length; at += SIZE) {
    if (pollFds([{ fd, events: POLLIN }], LOOPBACK_MS)[0] === 0) return at === 0 ? 'unknown' : 'failed';
    const length = tryRecvFrom(fd, buffer, 0, sender);
    const expected = payload.subarray(at, at + SIZE);
    if (length !== expected.length || expected.some((byte, i) => byte !== buffer[i])) return 'failed';
  }
  return 'passed';
}

/**
 * Writes super-packets to the device, from `source` to an address (0.0.0.0) to which no kernel delivers or forwards: which of
 * `merging` works. Undefined as long as the device is down and takes nothing.
 */
export function testWrites(wasm: Wasm, ports: Ports, source: Ipv4, { tcp, udp }: Merging): Merging | undefined {
  const results = { tcp, udp };
  for (const length of PAYLOADS) {
    if (results.tcp) {
      const result = ports.writeTun(layout.OFFENDER, putSuperPacket(wasm, source, GSO_TCPV4, length));
      if (result < 0 && result !== EINVAL) return undefined;
      results.tcp = result >= 0;
    }
    if (results.udp) {
      const result = ports.writeTun(layout.OFFENDER, putSuperPacket(wasm, source, GSO_UDP_L4, length));
      if (result < 0 && result !== EINVAL) return undefined;
      results.udp = result >= 0;
    }
  }
  return results;
}

/** A virtio header and an IPv4 packet whose checksum is to be completed. Returns the length of both. */
function putSuperPacket(wasm: Wasm, source: Ipv4, type: number, payload: number): number {
  const isTcp = type === GSO_TCPV4;
  const header = 20 + (isTcp ? 20 : 8);
  const length = layout.VNET_BYTES + header + payload;
  const bytes = wasm.bytes.subarray(layout.OFFENDER, layout.OFFENDER + length);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  bytes.fill(0);
  bytes[0] = NEEDS_CSUM;
  bytes[1] = type;
  view.setUint16(2, header, true);
  view.setUint16(4, SIZE, true);
  view.setUint16(6, 20, true);
  view.setUint16(8, isTcp ? 16 : 6, true);
  const packet = layout.VNET_BYTES;
  bytes[packet] = 0x45;
  view.setUint16(packet + 2, header + payload);
  view.setUint16(packet + 6, 0x4000); // DF
  bytes[packet + 8] = 1; // TTL
  bytes[packet + 9] = isTcp ? 6 : 17;
  view.setUint32(packet + 12, source);
  view.setUint16(packet + 10, internetChecksum(bytes, packet, 20));
  const pseudo = fold(sumWords(bytes, packet + 12, 8) + bytes[packet + 9]! + header - 20 + payload);
  if (isTcp) {
    view.setUint16(packet + 32, 0x5010); // 20 bytes, ACK
    view.setUint16(packet + 36, pseudo);
  } else {
    view.setUint16(packet + 24, 8 + payload);
    view.setUint16(packet + 26, pseudo);
  }
  return length;
}
