/**
 * The kernel's notifications as "look again": level-triggered, so that neither a lost event nor a broken socket does harm. One
 * timer for all who listen; Node cannot wait for a netlink socket.
 */
import { NUD_NOARP, NUD_PERMANENT } from '@flannel-ts/rtnetlink/constants';
import type { Monitor, MonitorEvent } from '@flannel-ts/rtnetlink/monitor';
import type { Logger } from 'pino';
import { messageOf } from '../errors.ts';

const EVERY_MS = 50;

export interface KernelEvents {
  /**
   * Calls back after changes of links, addresses and routes, until the function it returns is called; and after those changes of
   * ARP, NDP and FDB entries that `ours` takes, which others make all the time.
   */
  subscribe(listener: () => void, ours?: OurEntries): () => void;
  close(): void;
}

export interface OurEntries {
  /** Indexes of the links whose entries are ours. */
  readonly entryLinks: ReadonlySet<number>;
  /** Whether it tells of what this process has done. Asked once for each. */
  isEcho(event: MonitorEvent & { readonly type: 'fdb' }): boolean;
}

interface Listener {
  readonly call: () => void;
  readonly ours: OurEntries | undefined;
}

/** Never throws and never ends: a monitor that fails is opened again, and what may have been missed counts as a change. */
export function startKernelEvents(open: () => Monitor, log: Logger, everyMs = EVERY_MS): KernelEvents {
  const listeners = new Set<Listener>();
  const poll = eventPoll(open, log);
  const timer = setInterval(() => {
    const events = poll.take();
    if (events.length === 0) return;
    for (const { call, ours } of listeners) if (events.filter((event) => concerns(event, ours)).length > 0) call();
  }, everyMs);
  return {
    subscribe: (call, ours) => {
      const listener = { call, ours };
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close: () => {
      clearInterval(timer);
      poll.close();
    },
  };
}

function concerns(event: MonitorEvent, ours: OurEntries | undefined): boolean {
  switch (event.type) {
    case 'neighbour': {
      const { index, state } = event.neighbour;
      // Of multicast groups, by the kernel itself.
      const isMulticast = event.action === 'set' && (state & NUD_NOARP) !== 0;
      return ours?.entryLinks.has(index) === true && !isMulticast;
    }
    case 'fdb': {
      const { index, state } = event.entry;
      const isLearned = (state & (NUD_PERMANENT | NUD_NOARP)) === 0;
      return ours?.entryLinks.has(index) === true && !isLearned && !ours.isEcho(event);
    }
    default:
      return true;
  }
}

function eventPoll(open: () => Monitor, log: Logger): { take(): readonly MonitorEvent[]; close(): void } {
  let monitor: Monitor | undefined;
  let lastError: string | undefined;
  const close = (): void => {
    try {
      monitor?.close();
    } catch (error) {
      log.debug(`Cannot close the monitor of the network: ${messageOf(error)}`);
    }
    monitor = undefined;
  };
  const take = (): readonly MonitorEvent[] => {
    try {
      const missed: MonitorEvent[] = monitor === undefined ? [{ type: 'lost' }] : [];
      monitor ??= open();
      const events = [...missed, ...monitor.drain()];
      if (lastError !== undefined) log.info('Changes of the network are seen at once again');
      lastError = undefined;
      return events;
    } catch (error) {
      const text = messageOf(error);
      if (text !== lastError)
        log.error(`Changes of the network are seen every few seconds only, trying again: ${text}`);
      lastError = text;
      close();
      return [];
    }
  };
  take(); // opened at once, so that no change after the start is missed
  return { take, close };
}
