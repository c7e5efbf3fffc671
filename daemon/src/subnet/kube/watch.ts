/**
 * Node objects as a stream that does not end: a snapshot, then changes; a watch that ends or breaks is resumed where it was, and begins
 * with a snapshot again when the API server no longer knows that place (410 Gone, or a store that was restored).
 */
import type { Logger } from 'pino';
import { Backoff, sleep } from '../../abort.ts';
import { DaemonError } from '../../errors.ts';
import { monotonicNow } from '../clock.ts';
import { Outage } from '../outage.ts';
import { WatchStatistics } from '../watch-statistics.ts';
import { type ApiClient, RefusedError } from './api.ts';
import type { KubeNode, NodeObject } from './node.ts';

export type NodeEvent =
  | { readonly type: 'snapshot'; readonly nodes: readonly KubeNode[] }
  | { readonly type: 'put'; readonly node: KubeNode }
  | { readonly type: 'delete'; readonly node: KubeNode };

export interface KubeTimings {
  /** A silent watch is doubted after this time: the server is asked for a sign of life. */
  readonly probeMs: number;
  /** A watch on which nothing comes for so long is given up: the server sends a bookmark each minute. */
  readonly silenceMs: number;
  /** How long the server is asked to keep a watch, at least; up to twice as long, so that nodes do not march in step. */
  readonly watchSeconds: number;
  readonly retryFirstMs: number;
  readonly retryMostMs: number;
  /** Between two looks at the file of the network config. */
  readonly configMs: number;
  /** Nodes of one page of a list. */
  readonly pageSize: number;
}

export const KUBE_TIMINGS: KubeTimings = {
  probeMs: 20_000,
  silenceMs: 150_000,
  watchSeconds: 300,
  retryFirstMs: 250,
  retryMostMs: 10_000,
  configMs: 5000,
  pageSize: 500,
};

export interface NodeWatch {
  readonly client: ApiClient;
  readonly read: (node: NodeObject) => KubeNode;
  /** This one alone; without it all. */
  readonly name?: string;
  readonly log: Logger;
  readonly timings: KubeTimings;
  readonly statistics?: WatchStatistics;
}

interface Listed {
  readonly version: string;
  readonly nodes: readonly KubeNode[];
}

const GONE = 410;
const NODES = '/api/v1/nodes';

export async function* watchNodes(watch: NodeWatch, signal: AbortSignal): AsyncGenerator<readonly NodeEvent[]> {
  const { log, timings, name = 'all nodes', statistics = new WatchStatistics() } = watch;
  const backoff = new Backoff(timings.retryFirstMs, timings.retryMostMs);
  const outage = new Outage('Kubernetes', log, name, 'the nodes of Kubernetes');
  let version: string | undefined;
  while (!signal.aborted) {
    try {
      if (version === undefined) {
        const listed = await listNodes(watch, signal);
        version = listed.version;
        if (outage.known) statistics.resyncs++;
        outage.known = true;
        statistics.heard();
        yield [{ type: 'snapshot', nodes: listed.nodes }];
      }
      for await (const { events, version: next } of followWatch(watch, version, signal)) {
        version = next;
        outage.over();
        backoff.reset();
        statistics.heard();
        if (events.length > 0) yield events;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (isGone(error)) {
        log.info({ nodes: name, version }, `Cannot resume, listing anew: ${(error as Error).message}`);
        version = undefined;
      } else {
        if (!(error instanceof DaemonError)) throw error;
        outage.begin(error);
      }
      await sleep(backoff.take(), signal);
    }
  }
}

/** The place to resume at is no longer known; or not yet, to a server whose store was restored. */
function isGone(error: unknown): boolean {
  return error instanceof RefusedError && (error.status === GONE || /too large resource version/i.test(error.message));
}

/** In pages: an answer with thousands of nodes is large for the server, too. */
async function listNodes(watch: NodeWatch, signal: AbortSignal): Promise<Listed> {
  const { client, read, timings } = watch;
  const nodes: KubeNode[] = [];
  let rest = '';
  let limit = timings.pageSize;
  for (;;) {
    const query = new URLSearchParams({ ...selection(watch), ...(limit > 0 && { limit: String(limit) }) });
    if (rest !== '') query.set('continue', rest);
    let page: NodeListPage;
    try {
      page = await client.get<NodeListPage>(`${NODES}?${query}`, signal);
    } catch (error) {
      if (rest === '' || !isGone(error)) throw error;
      // The list became too old while it was read: all at once then.
      nodes.length = 0;
      rest = '';
      limit = 0;
      continue;
    }
    for (const node of page.items ?? []) nodes.push(read(node));
    rest = page.metadata.continue ?? '';
    if (rest === '') return { version: page.metadata.resourceVersion, nodes };
  }
}

interface NodeListPage {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items?: readonly NodeObject[];
}

function selection({ name }: NodeWatch): Record<string, string> {
  return name === undefined ? {} : { fieldSelector: `metadata.name=${name}` };
}

interface Progress {
  readonly events: readonly NodeEvent[];
  /** Where to resume. */
  readonly version: string;
}

/** Ends when the server ends the watch, which it does in time; throws when it is broken, silent or can no longer be served. */
async function* followWatch(watch: NodeWatch, from: string, signal: AbortSignal): AsyncGenerator<Progress> {
  const { client, read, timings } = watch;
  const seconds = Math.round(timings.watchSeconds * (1 + Math.random()));
  const query = new URLSearchParams({
    ...selection(watch),
    watch: 'true',
    allowWatchBookmarks: 'true',
    resourceVersion: from,
    timeoutSeconds: String(seconds),
  });
  const stream = await client.watch(`${NODES}?${query}`, signal);
  try {
    let version = from;
    let heard = monotonicNow();
    let probed = heard;
    yield { events: [], version };
    while (!signal.aborted) {
      const lines = stream.take();
      if (lines === undefined) return;
      if (lines.length > 0) {
        client.heard();
        const events: NodeEvent[] = [];
        for (const line of lines) {
          const { type, object } = eventIn(line);
          version = object.metadata.resourceVersion;
          if (type === 'BOOKMARK') continue;
          events.push({ type: type === 'DELETED' ? 'delete' : 'put', node: read(object) });
        }
        yield { events, version };
        heard = monotonicNow(); // what the consumer took is not the server's silence
        probed = heard;
        continue;
      }
      const now = monotonicNow();
      if (now - heard >= timings.silenceMs) {
        throw new DaemonError('KUBERNETES', `The API server said nothing on a watch for ${Math.round(now - heard)} ms`);
      }
      if (now - probed >= timings.probeMs) {
        await client.get('/version', signal);
        probed = monotonicNow();
        yield { events: [], version };
      }
      await stream.wait(Math.min(timings.probeMs, timings.silenceMs), signal);
    }
  } finally {
    stream.close();
  }
}

interface WatchEvent {
  readonly type: string;
  readonly object: NodeObject;
}

function eventIn(line: string): WatchEvent {
  let event: WatchEvent;
  try {
    event = JSON.parse(line) as WatchEvent;
  } catch {
    throw new DaemonError('KUBERNETES', 'The API server sent something that is no JSON on a watch');
  }
  if (event.type !== 'ERROR') return event;
  const { code = 0, message = 'no reason given' } = event.object as unknown as { code?: number; message?: string };
  throw new RefusedError(code, `The API server ended the watch with ${code}: ${message}`);
}
