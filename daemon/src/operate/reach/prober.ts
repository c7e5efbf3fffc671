/** Asks the peers through the overlay, from the address of our device to that of theirs. The kernel of every flannel answers. */
import { FAMILIES, type Family } from '@flannel-ts/inet/family';
import { familyOf, type Ip } from '@flannel-ts/inet/ip';
import { Bell } from '../../abort.ts';
import { encodeRequest } from './echo.ts';
import { GRACE_MS, judgeReach, type ReachVerdict } from './judge.ts';
import { EchoSocket } from './socket.ts';
import { type PeerReach, REACH_SETTINGS, type ReachPeer, ReachTable } from './table.ts';

export interface ProberSettings {
  /** Of the overlay. */
  readonly mtu: number;
  /** Addresses of our own device: one, or one of each family. */
  readonly addresses: readonly Ip[];
  /** UDP port of the overlay, for messages. */
  readonly port?: number;
}

export interface Prober {
  /** From then on until the next call. */
  setPeers(peers: Iterable<ReachPeer>): void;
  report(): readonly PeerReach[];
  run(signal: AbortSignal): Promise<void>;
}

/** Judged so often; asking goes on by itself. */
const JUDGE_MS = 1000;
const MAX_POLL_MS = 250;
const REOPEN_MS = 1000;

export function createProber(settings: ProberSettings, report: (verdict: ReachVerdict) => void): Prober {
  const table = new ReachTable({ ...REACH_SETTINGS, mtu: settings.mtu, random: Math.random });
  const bell = new Bell();
  return {
    setPeers(peers) {
      table.setPeers(peers, performance.now());
      report(judge());
      bell.ring();
    },
    report: () => table.report(performance.now()),
    run: (signal) => run(settings, table, bell, () => report(judge()), signal),
  };

  function judge(): ReachVerdict {
    const now = performance.now();
    const graceMs = Math.max(GRACE_MS, 3 * table.interval());
    const { mtu, port } = settings;
    return judgeReach({ peers: table.report(now), mtu, graceMs, ...(port !== undefined && { port }) });
  }
}

async function run(
  settings: ProberSettings,
  table: ReachTable,
  bell: Bell,
  judge: () => void,
  signal: AbortSignal,
): Promise<void> {
  const sockets = new Sockets(settings.addresses);
  const id = Math.floor(Math.random() * 0x10000);
  let judged = 0;
  let poll = 1;
  try {
    while (!signal.aborted) {
      const now = performance.now();
      if (sockets.receive(id, table)) judged = 0; // the first answer makes a node ready
      table.expire(now);
      const question = table.ask(now);
      if (question !== undefined) {
        const { target, sequence, bytes } = question;
        sockets.send(target, encodeRequest(familyOf(target), { id, sequence }, bytes), now);
        poll = 1;
      }
      if (now - judged >= JUDGE_MS) {
        judge();
        judged = now;
      }
      // An answer cannot be waited for, so it is looked for, at growing intervals after each question.
      const wait = Math.min(table.nextAt() - now, JUDGE_MS, table.waiting ? poll : JUDGE_MS);
      poll = Math.min(poll * 2, MAX_POLL_MS);
      await bell.wait(Math.max(wait, 1), signal);
    }
  } finally {
    sockets.close();
  }
}

class Sockets {
  private readonly open = new Map<Family, EchoSocket>();
  private nextOpen = 0;

  constructor(private readonly addresses: readonly Ip[]) {}

  /** What cannot be sent is as good as not answered. */
  send(target: Ip, message: Uint8Array, now: number): void {
    const socket = this.socketFor(familyOf(target), now);
    try {
      socket?.send(target, message);
    } catch {
      // The device may be gone, or a rule forbids it: silence, which is judged.
    }
  }

  receive(id: number, table: ReachTable): boolean {
    let any = false;
    for (const family of FAMILIES) {
      const socket = this.open.get(family);
      for (let reply = socket?.receive(); reply !== undefined; reply = socket?.receive()) {
        if (reply.id !== id) continue;
        const now = performance.now();
        const age = reply.at === undefined ? 0 : performance.timeOrigin + now - reply.at;
        any = table.answered(reply.sequence, reply.from, now, age) || any;
      }
    }
    return any;
  }

  close(): void {
    for (const socket of this.open.values()) socket.close();
  }

  private socketFor(family: Family, now: number): EchoSocket | undefined {
    const found = this.open.get(family);
    if (found !== undefined || now < this.nextOpen) return found;
    const address = this.addresses.find((candidate) => familyOf(candidate) === family);
    if (address === undefined) return undefined;
    try {
      const made = new EchoSocket(family, address);
      this.open.set(family, made);
      return made;
    } catch {
      this.nextOpen = now + REOPEN_MS; // the device does not have its address yet
      return undefined;
    }
  }
}
