/** Finding the interface at the start: what the node does not have yet is waited for, and the log says what. */
import type { Logger } from 'pino';
import { sleep } from '../abort.ts';
import { DaemonError, messageOf } from '../errors.ts';
import {
  type ExternalInterface,
  type InterfaceOptions,
  type NodeFacts,
  type OuterFamilies,
  type SelectionContext,
  selectInterface,
} from './select.ts';

export interface InterfaceSearch extends SelectionContext {
  readonly options: InterfaceOptions;
  readonly outer: OuterFamilies;
}

export interface UnderlayParts {
  /** The node as it is now. May throw. */
  readonly read: () => NodeFacts;
  /** Undefined: all is well. */
  readonly report: (trouble: string | undefined) => void;
  readonly log: Logger;
}

export interface FindTimings {
  /** DHCP, duplicate address detection of IPv6 and drivers that load late; a supervisor's start limit is commonly 90 s. */
  readonly limitMs: number;
  readonly everyMs: number;
}

export const FIND_TIMINGS: FindTimings = { limitMs: 30_000, everyMs: 250 };

/** Rejects with the last reason when the limit has passed: flannel gives up at once, in the middle of a boot. */
export async function findInterface(
  { options, outer, ...context }: InterfaceSearch,
  { read, report, log }: UnderlayParts,
  signal: AbortSignal,
  { limitMs, everyMs }: FindTimings = FIND_TIMINGS,
): Promise<ExternalInterface> {
  const end = performance.now() + limitMs;
  let last: string | undefined;
  for (;;) {
    signal.throwIfAborted();
    try {
      const found = selectInterface(options, outer, read(), context);
      report(undefined);
      return found;
    } catch (error) {
      if (performance.now() > end) {
        throw new DaemonError('NO_INTERFACE', messageOf(error), { cause: error });
      }
      const reason = messageOf(error);
      if (reason !== last) log.warn(`${reason}: waiting up to ${Math.ceil((end - performance.now()) / 1000)} s for it`);
      last = reason;
      report(reason);
    }
    await sleep(everyMs, signal);
  }
}
