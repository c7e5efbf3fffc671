/** Random packets: streams that can be merged, what lies between them, and what somebody bent on purpose. */

import { putWord } from '../../src/datapath/tun/engine/ipv4-header.ts';
import { bytes, tcpPacket, udpPacket } from './fast/flows.ts';
import { superPacket, withChecksums } from './fast/segment.ts';
import { ipv4Packet, sealed } from './packets.ts';
import type { Random } from './random.ts';

/** The MTU of the engines that fast/testing/pair.ts makes. */
const MTU = 1472;
const VNET_BYTES = 10;
/** Cut from, since making it anew for each packet would be most of the work. */
const DATA = bytes(1 << 17);

const INSIDE = ['10.1.0.2', '10.1.0.3'];
const OUTSIDE = ['10.2.0.2', '10.2.0.3', '10.3.0.2'];
const NOWHERE = ['10.9.0.2', '0.0.0.0', '255.255.255.255', '127.0.0.1', '224.0.0.1', '10.1.0.0'];

/** What a packet of a stream may have that its neighbours do not. */
function oddities(random: Random): object {
  return {
    ttl: random.pick([64, 64, 64, 64, 64, 64, 63, 2, 1, 0]),
    tos: random.pick([0, 0, 0, 0, 0, 0, 2, 3, 0xb8]),
    dontFragment: !random.oneIn(4),
    ...(random.oneIn(30) && { options: random.bytes(4 * random.between(1, 10)) }),
  };
}

/** A TCP stream or datagrams of one sender; each call is the next packet, now and then not the one that should follow. */
export class Flow {
  #sequence: number;
  #identification: number;
  readonly #ports: readonly [number, number];
  readonly #size: number;
  readonly #tcp: boolean;

  constructor(
    readonly random: Random,
    readonly from: string,
    readonly to: string,
  ) {
    this.#sequence = random.pick([0, 0xffff_f000, random.below(2 ** 32)]);
    this.#identification = random.pick([0, 0xfff0, random.below(2 ** 16)]);
    // Few, so that flows meet.
    this.#ports = [random.between(1, 4), random.pick([53, 80])];
    this.#size = random.pick([1, 100, 536, 1200, 1399, 1432]);
    this.#tcp = !random.oneIn(3);
  }

  next(): Uint8Array {
    const { random } = this;
    const length = random.oneIn(6) ? random.below(this.#size + 2) : this.#size;
    const fields = this.#fields(length);
    if (!this.#tcp) {
      const packet = udpPacket(fields);
      if (random.oneIn(12)) putWord(packet, (packet[0]! & 15) * 4 + 6, 0); // no checksum
      return packet;
    }
    this.#sequence = (this.#sequence + length + random.pick([0, 0, 0, 0, 0, 0, 0, 0, 1, -1])) >>> 0;
    return tcpPacket(fields);
  }

  /** As a device with offloads hands it over: several segments behind one header. */
  nextSuper(): Uint8Array {
    const { random } = this;
    const fields = this.#fields(random.between(0, random.oneIn(5) ? 60_000 : 9000));
    const packet = this.#tcp ? tcpPacket(fields) : udpPacket(fields);
    const headers = packet.length - fields.data.length;
    const size = random.oneIn(4) ? random.between(1, MTU - headers) : Math.min(this.#size, MTU - headers);
    const segments = fields.data.length / size;
    if (this.#tcp) this.#sequence = (this.#sequence + fields.data.length) >>> 0;
    return superPacket(packet, segments > 1 && segments < 400 ? size : 0, random.oneIn(8));
  }

  #fields(length: number) {
    const { random } = this;
    this.#identification = (this.#identification + random.pick([1, 1, 1, 1, 1, 0, 2])) & 0xffff;
    return {
      from: this.from,
      to: this.to,
      ports: this.#ports,
      sequence: this.#sequence,
      identification: this.#identification,
      data: DATA.slice(this.#sequence & 0xffff, (this.#sequence & 0xffff) + length),
      acknowledgement: random.oneIn(8) ? random.below(2 ** 32) : 7,
      window: random.oneIn(8) ? random.below(65_536) : 500,
      flags: random.pick([16, 16, 16, 16, 16, 16, 24, 80, 208, 17, 18, 2, 4, 48, 0, 255]),
      ...(random.oneIn(10) && { tcpOptions: random.bytes(4 * random.between(1, 10)) }),
      ...oddities(random),
    };
  }
}

export function flowOut(random: Random): Flow {
  return new Flow(random, random.pick(INSIDE), random.oneIn(12) ? random.pick(NOWHERE) : random.pick(OUTSIDE));
}

export function flowIn(random: Random): Flow {
  const from = random.oneIn(12) ? random.pick([...OUTSIDE, ...NOWHERE]) : '10.2.0.2';
  return new Flow(random, from, random.oneIn(12) ? random.pick(NOWHERE) : random.pick(INSIDE));
}

/** What is neither TCP nor UDP, or only a part of it. */
export function stray(random: Random, { from, to }: Flow): Uint8Array {
  const fields = { from, to, ...oddities(random), payload: random.bytes(random.below(200)) };
  if (random.oneIn(3)) return ipv4Packet({ ...fields, protocol: random.pick([1, 2, 41, 47, 132]) });
  const fragment = random.oneIn(2) ? { moreFragments: true } : { fragmentOffset: random.between(1, 100) };
  return ipv4Packet({ ...fields, protocol: random.pick([6, 17]), ...fragment, dontFragment: false });
}

/** The same packet with something wrong about it; half of them with checksums that hide it. */
export function bent(random: Random, packet: Uint8Array): Uint8Array {
  const kind = random.below(6);
  if (kind === 0) return packet.slice(0, random.below(packet.length + 1));
  if (kind === 1) return Uint8Array.from([...packet, ...random.bytes(random.between(1, 40))]);
  if (kind === 2) return random.bytes(random.below(100));
  const made = packet.slice();
  // Mostly in the headers, where it matters.
  for (let times = random.between(1, 3); times > 0 && made.length > 0; times--) {
    made[random.below(Math.min(made.length, random.oneIn(3) ? 2000 : 48))]! ^= 1 << random.below(8);
  }
  if (kind === 3 && wellFramed(made)) return withChecksums(made);
  return kind === 4 && made.length >= 20 && (made[0]! & 15) >= 5 && made.length >= (made[0]! & 15) * 4
    ? sealed(made)
    : made;
}

function wellFramed(packet: Uint8Array): boolean {
  const header = (packet[0]! & 15) * 4;
  return header >= 20 && packet.length >= header + 20 && (packet[9] === 6 || packet[9] === 17);
}

export function plain(packet: Uint8Array): Uint8Array {
  const read = new Uint8Array(VNET_BYTES + packet.length);
  read.set(packet, VNET_BYTES);
  return read;
}
