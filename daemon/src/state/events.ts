/**
 * The kernel's notifications as "look again": level-triggered, so that neither a lost event nor a broken socket does harm. One
 * timer for all who listen; Node cannot wait for a netlink socket.
 */
import type { Monitor } from '@flannel-ts/rtnetlink/monitor';
import type { Logger } from 'pino';
import { messageOf } from '../errors.ts';

const EVERY_MS = 200;

export interface KernelEvents {
  /** Calls back after each change, until the function it returns is called. */
  subscribe(listener: () => void): () => void;
  close(): void;
}

/** Never throws and never ends: a monitor that fails is opened again, and what may have been missed counts as a change. */
export function startKernelEvents(open: () => Monitor, log: Logger, everyMs = EVERY_MS): KernelEvents {
  const listeners = new Set<() => void>();
  const poll = eventPoll(open, log);
  const timer = setInterval(() => {
    if (poll.changed()) for (const listener of listeners) listener();
  }, everyMs);
  return {
    subscribe: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close: () => {
      clearInterval(timer);
      poll.close();
    },
  };
}

function eventPoll(open: () => Monitor, log: Logger): { changed(): boolean; close(): void } {
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
  const changed = (): boolean => {
    try {
      const reopened = monitor === undefined;
      monitor ??= open();
      const events = monitor.drain().length > 0;
      if (lastError !== undefined) log.info('Changes of the network are seen at once again');
      lastError = undefined;
      return events || reopened;
    } catch (error) {
      const text = messageOf(error);
      if (text !== lastError)
        log.error(`Changes of the network are seen every few seconds only, trying again: ${text}`);
      lastError = text;
      close();
      return false;
    }
  };
  changed(); // opened at once, so that no change after the start is missed
  return { changed, close };
}
