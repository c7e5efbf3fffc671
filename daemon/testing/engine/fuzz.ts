/**
 * The fast engine beside the reference engine, without descriptors: the same random packets for both, in both directions and with
 * the same changes of routes, until the time is over or a difference is found. A case's seed brings it back.
 */
import { type Ip, parseIp } from '@flannel-ts/inet/ip';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import { EAGAIN } from '@flannel-ts/linux/errno';
import { MAX_SOURCES } from '../../src/datapath/tun/engine/fast/assembly/layout.ts';
import type { ForwarderConfig } from '../../src/datapath/tun/engine/fast/state.ts';
import { address, putWord, word } from '../../src/datapath/tun/engine/ipv4-header.ts';
import type { Message } from './fast/memory-ports.ts';
import { bySource, Fast, OTHER_PEER, PEER, Reference } from './fast/pair.ts';
import { segment } from './fast/segment.ts';
import { bent, type Flow, flowIn, flowOut, plain, stray } from './fuzz-packets.ts';
import { sealed } from './packets.ts';
import { Random } from './random.ts';

export interface FuzzReport {
  readonly cases: number;
  /** Given to each engine. */
  readonly packets: number;
}

const TUN_ADDRESS = parseIp('10.1.0.0');
const STRANGER = parseIp('198.51.100.7');
const MAX_ROUNDS = 6;
const MAX_PACKETS = 80;
/** Datagrams that the kernel puts together at most. */
const MAX_GRO = 64;
/** A message's bytes at most: the maximum of UDP over IPv4. */
const MAX_MESSAGE = 65_507;

/**
 * At least one case. Throws the first difference, with the seed of its case. `fastConfig`: to see that a difference would be
 * found, properties of the fast engine's configuration that make one.
 */
export function fuzz(seed: number, seconds: number, fastConfig: Partial<ForwarderConfig> = {}): FuzzReport {
  const end = performance.now() + seconds * 1000;
  let packets = 0;
  let cases = 0;
  do {
    const own = (seed + cases) >>> 0;
    try {
      packets += new Case(new Random(own), fastConfig).run();
    } catch (error) {
      throw new Error(
        `Case with seed ${own} (again: npm run fuzz -- --seed ${own} --seconds 0): ${(error as Error).message}`,
      );
    }
    cases++;
  } while (performance.now() < end);
  return { cases, packets };
}

class Case {
  readonly #fast: Fast;
  readonly #reference: Reference;
  readonly #vnet: boolean;
  /**
   * A super-packet that is refused is answered once, with the packet as it was read; the reference engine answers each segment.
   * So a case has either super-packets or ICMP errors that are looked at.
   */
  readonly #supers: boolean;
  #packets = 0;

  constructor(
    readonly random: Random,
    fastConfig: Partial<ForwarderConfig>,
  ) {
    this.#vnet = !random.oneIn(5);
    this.#supers = this.#vnet && random.oneIn(2);
    const sources = random.pick([1, 1, 2, 3, MAX_SOURCES]);
    this.#reference = new Reference(sources);
    this.#fast = new Fast(
      {
        vnet: this.#vnet,
        segment: !random.oneIn(5),
        merging: { tcp: !random.oneIn(8), udp: !random.oneIn(8) },
      },
      fastConfig,
      sources,
    );
  }

  /** The number of packets. */
  run(): number {
    for (let round = this.random.between(1, MAX_ROUNDS); round > 0; round--) {
      if (this.random.oneIn(3)) this.#changeRoutes();
      if (this.random.oneIn(2)) this.#outgoing();
      else this.#incoming();
      this.#compare();
    }
    return this.#packets;
  }

  #changeRoutes(): void {
    const routes = [
      { subnet: parsePrefix('10.2.0.0/24'), peer: this.random.pick([PEER, PEER, OTHER_PEER]) },
      { subnet: parsePrefix('10.3.0.0/24'), peer: OTHER_PEER },
      { subnet: parsePrefix('10.2.0.3/32'), peer: OTHER_PEER },
    ].slice(0, this.random.between(0, 3));
    // A super-packet above the limit is refused as a whole, its last segment may be below it.
    const limit = this.#supers ? undefined : this.random.pick([undefined, undefined, 5, 577, 1200, 1471]);
    for (const { control, forwarder } of [this.#fast, this.#reference]) {
      control.setRoutes(routes);
      control.setPathLimit(PEER, limit);
      forwarder.refreshRoutes();
    }
  }

  #outgoing(): void {
    const { random } = this;
    const flows = Array.from({ length: random.between(1, 4) }, () => flowOut(random));
    const reads = Array.from({ length: random.between(1, MAX_PACKETS) }, () => this.#read(random.pick(flows)));
    const packets = reads.flatMap(segment);
    this.#packets += packets.length;
    if (random.oneIn(4)) this.#fast.ports.sendErrors.push(...new Array(random.between(1, 5)).fill(EAGAIN));
    this.#fast.out(...(this.#vnet ? reads : packets).map((read) => read.slice()));
    // As after the wait for room in the socket.
    for (let turns = 0; turns < 20; turns++) this.#fast.out();
    this.#reference.out(...packets.map((packet) => packet.slice()));
  }

  /** Behind a virtio header. */
  #read(flow: Flow): Uint8Array {
    const { random } = this;
    if (this.#supers && random.oneIn(3)) return flow.nextSuper();
    return plain(this.#packet(flow));
  }

  #packet(flow: Flow): Uint8Array {
    const { random } = this;
    const packet = random.oneIn(12) ? stray(random, flow) : flow.next();
    return random.oneIn(10) ? bent(random, packet) : packet;
  }

  #incoming(): void {
    const { random } = this;
    const flows = Array.from({ length: random.between(1, 4) }, () => flowIn(random));
    const sender = random.oneIn(6) ? random.pick([OTHER_PEER, STRANGER]) : PEER;
    let flow = flows[0]!;
    const packets = Array.from({ length: random.between(1, MAX_PACKETS) }, () => {
      if (random.oneIn(3)) flow = random.pick(flows);
      return this.#packet(flow);
    });
    this.#packets += packets.length;
    this.#fast.ports.socket.push(...messages(random, packets, sender));
    this.#fast.in();
    for (const packet of packets) this.#reference.ports.socket.push([sender, packet.slice()]);
    this.#reference.in();
  }

  #compare(): void {
    const [fast, reference] = [this.#fast, this.#reference];
    const written = fast.ports.written.flatMap((bytes) => (this.#vnet ? segment(bytes) : [bytes]));
    const compared = (packet: Uint8Array): boolean => !(this.#supers && isAnswer(packet));
    const [mySent, theirSent] = [fast, reference].map(({ ports }) =>
      bySource(ports.sent.filter(({ packet }) => compared(packet))),
    );
    for (const source of new Set([...mySent!.keys(), ...theirSent!.keys()])) {
      const texts = [mySent!, theirSent!].map((sent) => (sent.get(source) ?? []).map(textOf));
      sameLists(`sent from port ${source}`, texts[0]!, texts[1]!);
    }
    const [mine, theirs] = [byFlow(written.filter(compared)), byFlow(reference.ports.written.filter(compared))];
    for (const flow of new Set([...mine.keys(), ...theirs.keys()])) {
      sameLists(`written, flow ${flow}`, mine.get(flow) ?? [], theirs.get(flow) ?? []);
    }
    sameCounters(fast.counters, reference.counters, this.#supers ? COMPARED : [...COMPARED, ...OF_ANSWERS]);
    for (const { ports } of [fast, reference]) {
      ports.sent.length = 0;
      ports.written.length = 0;
    }
  }
}

/** As UDP_GRO puts datagrams together: of one length, but for a shorter last one; now and then it does not. */
function messages(random: Random, packets: readonly Uint8Array[], sender: Ip): Message[] {
  const groups: Uint8Array[][] = [];
  for (const packet of packets) {
    const group = groups.at(-1);
    const size = group?.at(0)?.length;
    const fits =
      group !== undefined &&
      size !== undefined &&
      group.at(-1)!.length === size &&
      packet.length <= size &&
      packet.length > 0 &&
      group.length < MAX_GRO &&
      (group.length + 1) * size <= MAX_MESSAGE;
    if (fits && !random.oneIn(20)) group.push(packet);
    else groups.push([packet]);
  }
  return groups.map((group) => ({
    sender,
    bytes: Uint8Array.from(Buffer.concat(group)),
    size: group.length > 1 ? group[0]!.length : 0,
  }));
}

function textOf({ peer, packet }: { readonly peer: Ip; readonly packet: Uint8Array }): string {
  return `${peer} ${hexOf(packet)}`;
}

/** An engine counts its own ICMP errors in their id, which says nothing. */
function hexOf(packet: Uint8Array): string {
  return Buffer.from(isAnswer(packet) ? withoutId(packet) : packet).toString('hex');
}

/** An ICMP error of the engine. */
function isAnswer(packet: Uint8Array): boolean {
  return packet[9] === 1 && address(packet, 12) === TUN_ADDRESS;
}

function withoutId(packet: Uint8Array): Uint8Array {
  const copy = packet.slice();
  putWord(copy, 4, 0);
  return sealed(copy);
}

/** Merging may change the order between flows, and an id where DF makes it meaningless; nothing else. */
function byFlow(packets: readonly Uint8Array[]): Map<string, string[]> {
  const flows = new Map<string, string[]>();
  for (const packet of packets) {
    const key = Buffer.from([packet[9]!, ...packet.subarray(12, 24)]).toString('hex');
    const flow = flows.get(key) ?? [];
    flows.set(key, flow);
    flow.push(hexOf((word(packet, 6) & 0x4000) === 0 ? packet : withoutId(packet)));
  }
  return flows;
}

function sameLists(what: string, fast: readonly string[], reference: readonly string[]): void {
  const at = fast.findIndex((text, index) => text !== reference[index]);
  if (at < 0 && fast.length === reference.length) return;
  const index = at < 0 ? fast.length : at;
  throw new Error(
    `${what}: ${fast.length} of the fast engine, ${reference.length} of the reference engine; number ${index} differs:\n` +
      `  fast      ${fast[index]}\n  reference ${reference[index]}`,
  );
}

const COMPARED = [
  ...['tunPackets', 'tunBytes', 'socketPackets', 'socketBytes', 'sentPackets', 'sentBytes'],
  ...['deliveredPackets', 'deliveredBytes', 'dropped'],
];
const OF_ANSWERS = ['icmpSent', 'icmpSuppressed'];

function sameCounters(fast: object, reference: object, names: readonly string[]): void {
  const text = (counters: object): string =>
    JSON.stringify(names.map((name) => [name, (counters as Record<string, unknown>)[name]]));
  if (text(fast) === text(reference)) return;
  throw new Error(`counters:\n  fast      ${text(fast)}\n  reference ${text(reference)}`);
}
