/**
 * Which peer is asked when, and what has been learnt of each. Pure: the clock (milliseconds, monotonic) and chance are given.
 *
 * The rate is bounded for all peers together, so that asking costs the same on a node of a large network; each peer then waits
 * longer. Small packets say whether a peer is reached. At a slower pace one as large as the overlay's MTU, which may not be
 * fragmented, says whether the path carries what pods send: a path that swallows large packets looks well to everything else.
 */
import type { Ip } from '@flannel-ts/inet/ip';
import { addressAt, type Prefix, type PrefixKey, prefixKey } from '@flannel-ts/inet/prefix';
import type { OverlayPeer, PeerChange } from '../../datapath/datapath.ts';
import { Agenda } from './agenda.ts';
import { SMALL_BYTES } from './echo.ts';
import { PathSearch } from './path-search.ts';

/**
 * `device`: the overlay's device of each node has the first address of its subnet. `node`: there is no such device, and only the bridge
 * of pods, once there is one, has an address (the second); before, the node itself says that it is unreachable, which comes
 * from the node and is an answer as well.
 */
export type AnswersFrom = 'device' | 'node';

export interface ReachSettings {
  /** Of the overlay, until setMtu(). */
  readonly mtu: number;
  readonly answers: AnswersFrom;
  /** Least time between two questions to any peers: 100 for 10 a second. */
  readonly gapMs: number;
  /** Least time between two questions to one peer. */
  readonly intervalMs: number;
  readonly mtuIntervalMs: number;
  /** An answer that comes later is none. */
  readonly timeoutMs: number;
  /** From 0 to 1. */
  readonly random: () => number;
}

export const REACH_SETTINGS = { gapMs: 100, intervalMs: 5000, mtuIntervalMs: 60_000, timeoutMs: 2000 } as const;

export interface Question {
  readonly target: Ip;
  readonly sequence: number;
  /** Of the whole IP packet. */
  readonly bytes: number;
}

export interface ReachAnswer {
  readonly sequence: number;
  readonly from: Ip;
  /** It says that nobody has the address that was asked. */
  readonly unreachable?: boolean;
  readonly ageMs?: number;
}

/** `unknown` until a large packet was answered, or two were not. */
export type PathMtu = PathSearch['state'];

export interface PeerReach {
  readonly subnet: Prefix;
  readonly peer: Ip;
  /** The same for all subnets of a node. */
  readonly node: Ip;
  /** Since the last answer, or without any since it was first to be asked. */
  readonly silentMs: number;
  readonly answered: boolean;
  readonly rttMs: number | undefined;
  readonly pathMtu: PathMtu;
  /** The largest packet that arrives; undefined: the MTU, or it is not known. */
  readonly pathLimit: number | undefined;
}

interface Entry {
  readonly peer: OverlayPeer;
  readonly since: number;
  /** Infinity for a peer that left. What the agenda has for another time is of an earlier decision, and passed over. */
  nextAt: number;
  nextMtuAt: number;
  lastAnswer: number | undefined;
  rttMs: number | undefined;
  path: PathSearch;
}

interface Pending {
  readonly entry: Entry;
  readonly sentAt: number;
  /** Of a question about the path; undefined for a small one. */
  readonly large: number | undefined;
  /** Somebody waits for the answer. */
  readonly urgent: boolean;
}

const SEQUENCES = 0x10000;

/**
 * Node cannot wait for a raw socket, so answers are looked for. Most are read before the next question, since the kernel says when they
 * arrived; urgent ones also at these times after theirs.
 */
const LOOK_AFTER_MS = [5, 20, 80, 320] as const;
/** So long after a peer became known its first answer is urgent: a node that starts waits for it. */
const NEW_MS = 10_000;
/** Its lease is there before its device: the first question of all often comes too early. */
const ASK_NEW_MS = 1000;

export class ReachTable {
  /** By subnet. */
  private readonly entries = new Map<PrefixKey, Entry>();
  private readonly agenda = new Agenda<Entry>();
  private readonly pending = new Map<number, Pending>();
  private sequence = 0;
  private nextSlot = 0;
  /** When to look for the answer to the last urgent question. */
  private looks: number[] = [];
  private urgentAnswer = false;
  private overlayMtu: number;

  constructor(private readonly settings: ReachSettings) {
    this.overlayMtu = settings.mtu;
  }

  get mtu(): number {
    return this.overlayMtu;
  }

  /** What is known of the paths was found with packets of another size: each path is tried anew. */
  setMtu(mtu: number, now: number): void {
    if (mtu === this.overlayMtu) return;
    this.overlayMtu = mtu;
    for (const entry of this.entries.values()) {
      entry.path = this.newPath();
      entry.nextMtuAt = now;
    }
    for (const [sequence, { large }] of this.pending) if (large !== undefined) this.pending.delete(sequence);
  }

  get size(): number {
    return this.entries.size;
  }

  /** What is known of a peer is kept while its subnet and address stay the same. */
  setPeers({ set, removed }: PeerChange, now: number): void {
    for (const subnet of removed) this.remove(prefixKey(subnet));
    for (const peer of set) {
      const key = prefixKey(peer.subnet);
      if (this.entries.get(key)?.peer.peer === peer.peer) continue;
      this.remove(key);
      this.entries.set(key, this.newEntry(peer, now));
    }
    for (const [sequence, { entry }] of this.pending) if (isGone(entry)) this.pending.delete(sequence);
  }

  private remove(key: PrefixKey): void {
    const entry = this.entries.get(key);
    if (entry === undefined) return;
    entry.nextAt = Number.POSITIVE_INFINITY;
    this.entries.delete(key);
  }

  /** The next question that is due; it counts as asked. */
  ask(now: number): Question | undefined {
    if (now < this.nextSlot) return undefined;
    const entry = this.earliest();
    if (entry === undefined || entry.nextAt > now) return undefined;
    this.nextSlot = now + this.settings.gapMs;
    const isLarge = entry.lastAnswer !== undefined && entry.nextMtuAt <= now;
    const { mtuIntervalMs } = this.settings;
    if (isLarge) entry.nextMtuAt = now + (entry.path.state === 'passes' ? mtuIntervalMs : mtuIntervalMs / 4);
    const isNew = entry.lastAnswer === undefined && now - entry.since < NEW_MS;
    const pause = isNew ? Math.min(ASK_NEW_MS, this.interval()) : this.interval();
    this.askAt(entry, now + (isLarge ? this.settings.gapMs : pause));
    this.sequence = (this.sequence + 1) % SEQUENCES;
    const large = isLarge ? entry.path.size : undefined;
    const urgent = isNew || (isLarge && entry.path.searching);
    if (urgent) this.looks = [...LOOK_AFTER_MS, this.settings.timeoutMs].map((ms) => now + ms);
    this.pending.set(this.sequence, { entry, sentAt: now, large, urgent });
    return { target: this.targetOf(entry.peer), sequence: this.sequence, bytes: large ?? SMALL_BYTES };
  }

  /** True when it is the answer to a question; it arrived `ageMs` ago and is only now read. */
  answered({ sequence, from, unreachable = false, ageMs = 0 }: ReachAnswer, now: number): boolean {
    const found = this.pending.get(sequence);
    if (found === undefined) return false;
    const { peer } = found.entry;
    const expected = unreachable && this.settings.answers === 'node' ? peer.peer : this.targetOf(peer);
    if (from !== expected || (unreachable && this.settings.answers === 'device')) return false;
    this.pending.delete(sequence);
    const { entry, large, sentAt, urgent } = found;
    if (urgent) this.urgentAnswer = true;
    const elapsed = now - sentAt;
    // The age comes from another clock, which may have been set meanwhile.
    const age = ageMs > 0 && ageMs < elapsed ? ageMs : 0;
    entry.lastAnswer = now - age;
    if (large === undefined) entry.rttMs = elapsed - age;
    else {
      entry.path.arrived(large);
      this.searchOn(entry, now);
    }
    return true;
  }

  /** Gives up questions that were not answered in time. */
  expire(now: number): void {
    for (const [sequence, { entry, sentAt, large }] of this.pending) {
      if (now - sentAt < this.settings.timeoutMs) return; // the later ones are younger
      this.pending.delete(sequence);
      if (large === undefined) continue;
      const before = entry.path.size;
      const isSilent = entry.lastAnswer === undefined || entry.lastAnswer < sentAt;
      // A peer that answers nothing says nothing about its path's MTU.
      if (!isSilent) entry.path.lost(large);
      // One loss may be chance.
      if (entry.path.size === before) entry.nextMtuAt = now;
      if (!isSilent) this.searchOn(entry, now);
    }
  }

  /** The next size at once, while large packets get lost and it is not known which. */
  private searchOn(entry: Entry, now: number): void {
    if (!entry.path.searching) return;
    entry.nextMtuAt = now;
    this.askAt(entry, now);
  }

  /** Whether an answer came since the last call that should be judged at once. */
  takeUrgentAnswer(): boolean {
    const { urgentAnswer } = this;
    this.urgentAnswer = false;
    return urgentAnswer;
  }

  /** When there is a question to ask or an urgent answer to look for; Infinity without peers. */
  nextAt(now: number): number {
    while (this.looks.length > 0 && this.looks[0]! <= now) this.looks.shift();
    const question = this.earliest()?.nextAt;
    return question === undefined
      ? Number.POSITIVE_INFINITY
      : Math.min(Math.max(question, this.nextSlot), this.looks[0] ?? Number.POSITIVE_INFINITY);
  }

  report(now: number): PeerReach[] {
    const report: PeerReach[] = [];
    for (const { peer, since, lastAnswer, rttMs, path } of this.entries.values()) {
      report.push({
        subnet: peer.subnet,
        peer: peer.peer,
        node: peer.node ?? peer.peer,
        silentMs: now - (lastAnswer ?? since),
        answered: lastAnswer !== undefined,
        rttMs,
        pathMtu: path.state,
        pathLimit: path.limit,
      });
    }
    return report;
  }

  /** Between two questions to one peer. */
  interval(): number {
    const { intervalMs, gapMs, random } = this.settings;
    // An eighth more than fits, for the large packets.
    const least = Math.max(intervalMs, this.entries.size * gapMs * 1.125);
    return least * (1 + random() / 4);
  }

  private targetOf({ subnet }: OverlayPeer): Ip {
    return this.settings.answers === 'device' ? subnet.base : addressAt(subnet, 1);
  }

  private newEntry(peer: OverlayPeer, now: number): Entry {
    const entry: Entry = {
      peer,
      since: now,
      nextAt: now,
      nextMtuAt: now,
      lastAnswer: undefined,
      rttMs: undefined,
      path: this.newPath(),
    };
    this.askAt(entry, now);
    return entry;
  }

  private newPath(): PathSearch {
    return new PathSearch(this.overlayMtu, SMALL_BYTES);
  }

  private askAt(entry: Entry, at: number): void {
    entry.nextAt = at;
    this.agenda.add(at, entry);
  }

  private earliest(): Entry | undefined {
    for (;;) {
      const { first } = this.agenda;
      if (first === undefined || first.at === first.item.nextAt) return first?.item;
      this.agenda.take();
    }
  }
}

function isGone({ nextAt }: Entry): boolean {
  return nextAt === Number.POSITIVE_INFINITY;
}
