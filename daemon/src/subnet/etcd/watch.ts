/**
 * A range of keys as a stream that does not end: a snapshot, then changes; after a broken stream it resumes at the next
 * revision; after a compaction, soon after a broken stream, and every now and then, it begins with a snapshot again.
 *
 * etcd3's own watcher is not used: a compaction reaches its user as a text, a watch that is never confirmed or goes silent
 * hangs for ever, and a member without a leader is not noticed (etcd issue 7321: only with `hasleader`). Here every stream
 * is supervised: it must be confirmed, and it must answer the progress requests that are sent through it.
 */
import type { IWatchResponse } from 'etcd3/lib/rpc';
import type { Logger } from 'pino';
import { Backoff, Bell, sleep } from '../../abort.ts';
import { DaemonError } from '../../errors.ts';
import { monotonicNow } from '../clock.ts';
import { Outage } from '../outage.ts';
import { WatchStatistics } from '../watch-statistics.ts';
import type { WatchStream } from './channel.ts';
import { type EtcdClient, type KeyValue, keyValueFrom } from './client.ts';

export interface WatchRange {
  readonly key: string;
  readonly rangeEnd?: Buffer;
}

export type RangeEvent =
  | { readonly type: 'snapshot'; readonly keyValues: readonly KeyValue[] }
  | { readonly type: 'put'; readonly keyValue: KeyValue }
  /** Etcd does not say what the value was. */
  | { readonly type: 'delete'; readonly key: string };

export interface WatchTimings {
  /** A new stream must be confirmed within this time. */
  readonly confirmMs: number;
  /** A stream is asked for a sign of life this often, and given up when nothing came for twice as long. */
  readonly probeMs: number;
  /** How often everything is listed anew, in case an event was lost: a list of a thousand leases has 150 KB. */
  readonly relistMs: number;
  /** The same after a stream broke: etcd may have been restored from an older snapshot, and have come to later revisions since. */
  readonly relistSoonMs: number;
  readonly retryFirstMs: number;
  readonly retryMostMs: number;
}

export const WATCH_TIMINGS: WatchTimings = {
  confirmMs: 5000,
  probeMs: 4000,
  relistMs: 300_000,
  relistSoonMs: 30_000,
  retryFirstMs: 100,
  retryMostMs: 3000,
};

export interface WatchOptions {
  readonly log: Logger;
  readonly timings: WatchTimings;
  readonly statistics?: WatchStatistics;
  /** For the log, while there is nothing yet. */
  readonly waitingFor?: string;
}

export async function* watchRange(
  client: EtcdClient,
  range: WatchRange,
  { log, timings, waitingFor = 'etcd', statistics = new WatchStatistics() }: WatchOptions,
  signal: AbortSignal,
): AsyncGenerator<readonly RangeEvent[]> {
  const backoff = new Backoff(timings.retryFirstMs, timings.retryMostMs);
  const outage = new Outage('etcd', log, range.key, waitingFor);
  /** The last revision known; without one the next thing to do is a list. */
  let revision: string | undefined;
  let relistAt = Number.POSITIVE_INFINITY;
  while (!signal.aborted) {
    try {
      if (revision === undefined) {
        const listed = await client.range(range.key, range.rangeEnd);
        revision = listed.revision;
        relistAt = monotonicNow() + timings.relistMs;
        if (outage.known) statistics.resyncs++;
        outage.known = true;
        statistics.heard();
        yield [{ type: 'snapshot', keyValues: listed.keyValues }];
      }
      for await (const responses of followStream(client, range, revision, signal, timings, relistAt)) {
        for (const response of responses) checkNotRewound(response, revision);
        outage.over();
        backoff.reset();
        statistics.heard();
        // Only events move the bookmark: a progress notice may run ahead of them (etcd issue 15220, before 3.4.25), and the
        // header of a watch that catches up has the store's revision, not that of its part of the events.
        const events = responses.flatMap((response) => response.events);
        const last = events.at(-1);
        if (last === undefined) continue;
        revision = last.kv.mod_revision;
        yield events.map(rangeEventFrom);
      }
      revision = undefined; // it is time for a list
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof DaemonError && error.code === 'ETCD_REVISION_GONE') {
        log.info({ key: range.key, revision }, `Cannot resume, listing anew: ${error.message}`);
        revision = undefined;
      } else {
        outage.begin(error);
        // Not of all nodes at once.
        relistAt = Math.min(relistAt, monotonicNow() + timings.relistSoonMs * (0.5 + Math.random()));
      }
      await sleep(backoff.take(), signal);
    }
  }
}

/**
 * Responses of one stream from `revision` + 1, as many together as have come; ends at `until` (of monotonicNow) or with the
 * signal, throws when the stream is broken or silent.
 */
async function* followStream(
  client: EtcdClient,
  range: WatchRange,
  revision: string,
  signal: AbortSignal,
  timings: WatchTimings,
  until: number,
): AsyncGenerator<readonly IWatchResponse[]> {
  const { stream, channel } = await client.openWatchStream();
  const inbox = new Inbox(stream);
  try {
    stream.write({ create_request: createRequest(range, revision) });
    let heard = monotonicNow();
    let probed = heard;
    let confirmed = false;
    while (!signal.aborted && monotonicNow() < until) {
      const responses = inbox.take();
      if (responses.length > 0) {
        heard = monotonicNow();
        confirmed = true;
        responses.forEach(checkResponse);
        client.heard();
        yield responses;
        heard = monotonicNow(); // what the consumer took is not etcd's silence
      }
      const now = monotonicNow();
      if (now - heard >= (confirmed ? 2 * timings.probeMs : timings.confirmMs))
        throw new DaemonError('ETCD', `Etcd at ${client.endpoint} said nothing for ${Math.round(now - heard)} ms`);
      if (now - probed >= timings.probeMs) {
        stream.write({ progress_request: {} } as Parameters<WatchStream['write']>[0]);
        probed = now;
      }
      await inbox.wait(Math.max(0, Math.min(timings.probeMs, timings.confirmMs, until - now)), signal);
    }
  } catch (error) {
    if (!(error instanceof DaemonError && error.code === 'ETCD_REVISION_GONE')) client.rotate(channel);
    throw error;
  } finally {
    stream.cancel();
  }
}

function createRequest({ key, rangeEnd }: WatchRange, revision: string) {
  return {
    key: Buffer.from(key),
    ...(rangeEnd && { range_end: rangeEnd }),
    start_revision: (BigInt(revision) + 1n).toString(),
  };
}

function checkResponse(response: IWatchResponse): void {
  if (!response.canceled) return;
  if (BigInt(response.compact_revision) > 0n) {
    throw new DaemonError('ETCD_REVISION_GONE', `Etcd compacted up to revision ${response.compact_revision}`);
  }
  throw new DaemonError('ETCD', `Etcd cancelled the watch: ${response.cancel_reason || 'no reason given'}`);
}

/**
 * A store that is younger than what we know is another one: restored from a backup or made anew. It would be silent until it
 * comes to the revision we asked for. (Or a member that lags behind: then the list that follows is one too many.)
 */
function checkNotRewound({ header }: IWatchResponse, revision: string): void {
  if (BigInt(header.revision) >= BigInt(revision)) return;
  throw new DaemonError('ETCD_REVISION_GONE', `Etcd went back from revision ${revision} to ${header.revision}`);
}

function rangeEventFrom(event: IWatchResponse['events'][number]): RangeEvent {
  // A text, whatever etcd3's type says: its proto loader is set to `enums: String`.
  return String(event.type) === 'Delete'
    ? { type: 'delete', key: event.kv.key.toString('utf8') }
    : { type: 'put', keyValue: keyValueFrom(event.kv) };
}

/** From the stream's events to something a loop can wait for. */
class Inbox {
  private responses: IWatchResponse[] = [];
  private failure: Error | undefined;
  private readonly bell = new Bell();

  constructor(stream: WatchStream) {
    stream.on('data', (response: IWatchResponse) => {
      this.responses.push(response);
      this.bell.ring();
    });
    // Also after cancel(): an error event without a listener would end the process.
    stream.on('error', (error: Error) => this.fail(error));
    stream.on('end', () => this.fail(new DaemonError('ETCD', 'Etcd ended the watch stream')));
  }

  /** What came since the last take; throws when the stream is broken and nothing is left to take. */
  take(): readonly IWatchResponse[] {
    const taken = this.responses;
    this.responses = [];
    if (taken.length === 0 && this.failure) throw this.failure;
    return taken;
  }

  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (this.responses.length === 0 && !this.failure) await this.bell.wait(ms, signal);
  }

  private fail(error: Error): void {
    this.failure ??= error;
    this.bell.ring();
  }
}
