/** How much is logged while etcd is away for a day: real loops under a clock of the test, of a client that nobody answers. */
import { setMaxListeners } from 'node:events';
import { parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import { parseIp } from '@flannel-ts/inet/ip';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import { pino } from 'pino';
import { DaemonError } from '../../errors.ts';
import { monotonicNow } from '../clock.ts';
import { NO_KEPT_STATE } from '../kept-state.ts';
import { acquire } from './acquire.ts';
import type { EtcdClient } from './client.ts';
import type { EtcdContext } from './context.ts';
import { EtcdMembership } from './membership.ts';
import { Layout, RecordReader } from './records.ts';
import { WATCH_TIMINGS, watchRange } from './watch.ts';

jest.setTimeout(60_000); // a day has 30,000 tries

const DAY_MS = 86_400_000;
const MEMBERS = ['10.64.0.4', '10.64.0.5', '10.64.0.6'];
const attributes = { publicIp: parseIp('10.64.0.16', 4), backendType: '' };
const lease = { subnet: parsePrefix('10.5.1.0/24', 4), attributes };

let lines: string[];
let stop: AbortController;

beforeEach(() => {
  jest.useFakeTimers();
  lines = [];
  stop = new AbortController();
  setMaxListeners(0, stop.signal);
});
afterEach(() => {
  stop.abort();
  jest.useRealTimers();
});

/** Each try is answered by the error of another member. */
function withoutEtcd(): EtcdContext {
  let tries = 0;
  const fail = async (): Promise<never> => {
    throw new DaemonError('ETCD', `${MEMBERS[tries++ % MEMBERS.length]}:2379: connection refused (ECONNREFUSED)`);
  };
  const client = { range: fail, keepAlive: fail, putIf: fail, grantLease: fail, openWatchStream: fail };
  const log = pino({ base: null }, { write: (line: string) => void lines.push(JSON.parse(line).msg) });
  const layout = new Layout('/coreos.com/network');
  return {
    client: client as unknown as EtcdClient,
    layout,
    reader: new RecordReader(layout, log),
    log,
    ttlSeconds: 86_400,
    random: () => 0,
    kept: NO_KEPT_STATE,
    ownLeaseIds: new Set(),
  };
}

test('a node that runs', async () => {
  const context = withoutEtcd();
  const term = { endsAt: monotonicNow() + 3_600_000, lifetimeMs: DAY_MS };
  const held = { lease, key: context.layout.keyOf(lease), modRevision: '1', leaseId: '7', term };
  const settings = { marginSeconds: 3600, timings: WATCH_TIMINGS, tookOver: false, confirmed: true, attributes };
  const holding = new EtcdMembership(context, held, settings).hold(stop.signal, () => {});
  const { log } = context;
  const { key } = context.layout.subnets;
  const watching = watchRange(context.client, { key }, { log, timings: WATCH_TIMINGS }, stop.signal).next();
  await jest.advanceTimersByTimeAsync(DAY_MS);
  stop.abort();
  await Promise.all([holding, watching]);
  const of = (text: string) => lines.filter((line) => line.includes(text));
  expect(of('Cannot renew the lease of 10.5.1.0/24 yet').length).toBeGreaterThanOrEqual(MEMBERS.length);
  expect(of('Waiting for etcd').length).toBeGreaterThanOrEqual(1);
  expect(lines.length).toBeLessThan(20);
});

test('a watch that is lost says how at once, why a minute later, and then once in six hours', async () => {
  const { client, log } = withoutEtcd();
  const answering = { ...client, range: async () => ({ revision: '5', keyValues: [] }) } as unknown as EtcdClient;
  const watch = watchRange(answering, { key: 'key' }, { log, timings: WATCH_TIMINGS }, stop.signal);
  await watch.next();
  const ended = watch.next();
  await jest.advanceTimersByTimeAsync(59_000);
  expect(lines).toHaveLength(1);
  await jest.advanceTimersByTimeAsync(DAY_MS - 59_000);
  stop.abort();
  await ended;
  const lost = 'Lost the watch on etcd, trying again; what is known stays in force: ';
  expect(lines.every((line) => line.startsWith(lost))).toBe(true);
  const ages = lines.map((line) => / times in (.*)\)$/.exec(line)?.[1] ?? 'first');
  expect(ages).toEqual(['first', expect.stringMatching(/^6[0-4] s$/), '6 h 1 min', '12 h 1 min', '18 h 1 min']);
});

test('a node that starts', async () => {
  const config = parseNetworkConfig('{"Network":"10.5.0.0/16"}');
  const acquiring = acquire(withoutEtcd(), { config, attributes }, stop.signal);
  const ended = expect(acquiring).rejects.toThrow('abort');
  await jest.advanceTimersByTimeAsync(DAY_MS);
  stop.abort();
  await jest.advanceTimersByTimeAsync(10_000);
  await ended;
  expect(lines[0]).toMatch('Cannot acquire a lease yet, trying again: ');
  expect(lines.at(-1)).toMatch(/ times in 19 h 11 min\)$/);
  expect(lines.length).toBeLessThan(12);
});
