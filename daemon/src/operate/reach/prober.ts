/** Asks the peers through the overlay, from the address of our device to that of theirs. The kernel of every flannel answers. */
import { FAMILIES, type Family } from '@flannel-ts/inet/family';
import { familyOf, type Ip } from '@flannel-ts/inet/ip';
import { isErrno } from '@flannel-ts/linux/errors';
import { Bell } from '../../abort.ts';
import type { PeerChange } from '../../datapath/datapath.ts';
import { messageOf } from '../../errors.ts';
import { encodeRequest } from './echo.ts';
import { GRACE_MS } from './judge.ts';
import type { EchoPort } from './socket.ts';
import { type AnswersFrom, type PeerReach, REACH_SETTINGS, ReachTable } from './table.ts';

export interface ProberSettings {
  /** Of the overlay, until setMtu(). */
  readonly mtu: number;
  readonly answers: AnswersFrom;
  /** Least time between two questions to any peers; REACH_SETTINGS says what otherwise. */
  readonly gapMs?: number;
  /** Throws while it cannot be opened; undefined for a family that the node does not have. */
  readonly openSocket: (family: Family) => EchoPort | undefined;
}

export interface Prober {
  setPeers(change: PeerChange): void;
  /** Of the overlay, from then on. */
  setMtu(mtu: number): void;
  mtu(): number;
  report(): readonly PeerReach[];
  /** Without an answer for longer, a peer is silent; more in large networks, where each is asked less often. */
  graceMs(): number;
  /** Why no question can be sent at all: silence then says nothing about the peers. Undefined: they can. */
  blocked(): string | undefined;
  /** Opens its sockets again. */
  reopen(): void;
  run(signal: AbortSignal): Promise<void>;
}

/** Judged so often, and less often in large networks, since each peer is looked at; asking goes on by itself. */
const judgeMs = (peers: number): number => Math.min(5000, Math.max(1000, 5 * peers));
const REOPEN_MS = 1000;

/** `onAnswers` is called when there may be something new to judge. */
export function createProber(settings: ProberSettings, onAnswers: (prober: Prober) => void): Prober {
  const { mtu, answers, gapMs = REACH_SETTINGS.gapMs } = settings;
  const table = new ReachTable({ ...REACH_SETTINGS, gapMs, mtu, answers, random: Math.random });
  const bell = new Bell();
  const sockets = new Sockets(settings.openSocket);
  const prober: Prober = {
    setPeers(change) {
      const isFirst = table.size === 0;
      table.setPeers(change, performance.now());
      // A node that has just learnt of others is not ready before one of them answers.
      if (isFirst) onAnswers(prober);
      bell.ring();
    },
    setMtu(mtu) {
      table.setMtu(mtu, performance.now());
      bell.ring();
    },
    mtu: () => table.mtu,
    report: () => table.report(performance.now()),
    graceMs: () => Math.max(GRACE_MS, 3 * table.interval()),
    blocked: () => sockets.blocked,
    reopen: () => sockets.close(),
    run: (signal) => run(sockets, table, bell, () => onAnswers(prober), signal),
  };
  return prober;
}

async function run(
  sockets: Sockets,
  table: ReachTable,
  bell: Bell,
  judge: () => void,
  signal: AbortSignal,
): Promise<void> {
  const id = Math.floor(Math.random() * 0x10000);
  let judged = 0;
  try {
    while (!signal.aborted) {
      const now = performance.now();
      sockets.receive(id, table);
      table.expire(now);
      const question = table.ask(now);
      if (question !== undefined) {
        const { target, sequence, bytes } = question;
        sockets.send(target, encodeRequest(familyOf(target), { id, sequence }, bytes), now);
      }
      // The first answer makes a node ready.
      if (table.takeUrgentAnswer() || now - judged >= judgeMs(table.size)) {
        judge();
        judged = now;
      }
      await bell.wait(Math.max(Math.min(table.nextAt(now) - now, judgeMs(table.size)), 1), signal);
    }
  } finally {
    sockets.close();
  }
}

class Sockets {
  private readonly open = new Map<Family, EchoPort>();
  private nextOpen = 0;
  /** Why this process may not open one. */
  blocked: string | undefined;

  constructor(private readonly openSocket: ProberSettings['openSocket']) {}

  /** What cannot be sent is as good as not answered. */
  send(target: Ip, message: Uint8Array, now: number): void {
    const socket = this.socketFor(familyOf(target), now);
    try {
      socket?.send(target, message);
    } catch {
      // The device may be gone, or a rule forbids it: silence, which is judged.
    }
  }

  receive(id: number, table: ReachTable): void {
    for (const family of FAMILIES) {
      const socket = this.open.get(family);
      for (let reply = socket?.receive(); reply !== undefined; reply = socket?.receive()) {
        if (reply.id === id) table.answered(reply, performance.now());
      }
    }
  }

  close(): void {
    for (const socket of this.open.values()) socket.close();
    this.open.clear();
  }

  private socketFor(family: Family, now: number): EchoPort | undefined {
    const found = this.open.get(family);
    if (found !== undefined || now < this.nextOpen) return found;
    try {
      const made = this.openSocket(family);
      if (made !== undefined) this.open.set(family, made);
      this.blocked = undefined;
      return made;
    } catch (error) {
      this.nextOpen = now + REOPEN_MS; // the device may not have its address yet
      this.blocked = isErrno(error, 'EPERM', 'EACCES') ? messageOf(error) : undefined;
      return undefined;
    }
  }
}
