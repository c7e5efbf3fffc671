import { setMaxListeners } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { formatLeaseKey, type LeaseSubnets } from '@flannel-ts/flannel/lease';
import { pino } from 'pino';
import { type EtcdManagerSettings, EtcdSubnetManager } from '../../daemon/src/subnet/etcd/manager.ts';
import type { WatchTimings } from '../../daemon/src/subnet/etcd/watch.ts';
import { firstConfig } from '../../daemon/src/subnet/manager.ts';
import {
  CONFIG,
  describeSubnetManager,
  Follower,
  find,
  leaseValue,
  publicIp,
  request,
} from '../../daemon/testing/subnet/compliance.ts';
import { EtcdServer, makeCertificates } from './support/etcd-server.ts';
import { TcpProxy } from './support/tcp-proxy.ts';

const PREFIX = '/coreos.com/network';
const never = new AbortController().signal;
setMaxListeners(0, never);
const QUICK: WatchTimings = {
  confirmMs: 500,
  probeMs: 300,
  relistMs: 600_000,
  relistSoonMs: 600_000,
  retryFirstMs: 50,
  retryMostMs: 200,
};

jest.setTimeout(240_000);

let log: Record<string, unknown>[] = [];
const logger = () =>
  pino({ level: 'trace' }, { write: (line: string) => void log.push(JSON.parse(line) as Record<string, unknown>) });
const logged = (text: string) => log.filter((line) => String(line.msg).includes(text)).length;

const managers: EtcdSubnetManager[] = [];
function managerOn(server: EtcdServer, settings: EtcdManagerSettings = {}, options = {}): EtcdSubnetManager {
  const all = { timings: QUICK, ...settings };
  const manager = new EtcdSubnetManager({ endpoints: [server.endpoint], prefix: PREFIX, ...options }, logger(), all);
  managers.push(manager);
  return manager;
}

let server: EtcdServer;
beforeEach(() => {
  log = [];
});
afterEach(async () => {
  for (const manager of managers.splice(0)) manager.close();
});

describeSubnetManager('etcd', 'allocates', async () => {
  const etcd = await EtcdServer.start();
  const key = (name: string) => `${PREFIX}/subnets/${name}`;
  return {
    manager: () => managerOn(etcd),
    putConfig: async (json) => etcd.put(`${PREFIX}/config`, json),
    putLease: async (name, value) => etcd.putLeased(key(name), value),
    removeLease: async (name) => void etcd.etcdctl('del', key(name)),
    leases: async () =>
      new Map(etcd.keys(key('')).map((name) => [name.slice(key('').length), etcd.get(name)!] as const)),
    destroy: () => etcd.destroy(),
  };
});

describe('EtcdSubnetManager', () => {
  beforeEach(async () => {
    server = await EtcdServer.start();
    server.put(`${PREFIX}/config`, CONFIG);
  });
  afterEach(() => server.destroy());

  const keyOf = (lease: LeaseSubnets) => `${PREFIX}/subnets/${formatLeaseKey(lease)}`;
  const leaseIdOf = (key: string): string => {
    const json = server.etcdctl('get', key, '-w', 'json').replace(/"lease":(\d+)/, '"lease":"$1"');
    return JSON.parse(json).kvs?.[0]?.lease ?? '0';
  };

  test('join() attaches an etcd lease of 24 hours', async () => {
    const node = managerOn(server);
    const { lease } = await node.join(await request(node, 1), never);
    const hex = BigInt(leaseIdOf(keyOf(lease))).toString(16);
    expect(server.etcdctl('lease', 'timetolive', hex)).toContain('granted with TTL(86400s)');
  });

  test('join() leaves no etcd lease behind when it lost a race', async () => {
    server.put(`${PREFIX}/config`, '{"Network":"10.5.0.0/28","SubnetLen":30}');
    const nodes = [managerOn(server), managerOn(server), managerOn(server)];
    const requests = await Promise.all(nodes.map((node, n) => request(node, n + 1)));
    const results = await Promise.all(nodes.map(async (node, n) => (await node.join(requests[n]!, never)).lease));
    expect(new Set(results.map(keyOf)).size).toBe(3);
    expect(server.leaseCount()).toBe(3);
  });

  test('join() keeps a reservation without an end', async () => {
    server.put(`${PREFIX}/subnets/10.5.9.0-24`, leaseValue(1));
    const node = managerOn(server);
    const { lease } = await node.join(await request(node, 1), never);
    expect(formatLeaseKey(lease)).toBe('10.5.9.0-24');
    expect(leaseIdOf(keyOf(lease))).toBe('0');
    expect(await node.releaseLeases(publicIp(1), never)).toEqual([]);
  });

  test('hold() renews the etcd lease before it ends, without an event for the other nodes', async () => {
    const node = managerOn(server, { ttlSeconds: 4 });
    const membership = await node.join(await request(node, 1), never);
    const { lease } = membership;
    const before = server.etcdctl('get', keyOf(lease), '-w', 'json');
    const revision = JSON.parse(before).kvs[0].mod_revision;
    const controller = new AbortController();
    const holding = membership.hold(controller.signal, () => {});
    await until(() => logged('Renewed the lease') >= 2);
    expect(JSON.parse(server.etcdctl('get', keyOf(lease), '-w', 'json')).kvs[0].mod_revision).toBe(revision);
    expect(server.leaseCount()).toBe(1);
    controller.abort();
    await holding;
  });

  test('hold() does not write over a key that another node got meanwhile', async () => {
    const node = managerOn(server, { ttlSeconds: 4, timings: { ...QUICK, probeMs: 60_000, confirmMs: 60_000 } });
    const membership = await node.join(await request(node, 1), never);
    const { lease } = membership;
    server.put(keyOf(lease), leaseValue(9));
    await expect(membership.hold(never, () => {})).rejects.toMatchObject({ code: 'LEASE_TAKEN' });
    expect(server.get(keyOf(lease))).toBe(leaseValue(9));
  });

  test('peers() resumes after an outage with what was missed', async () => {
    const proxy = await TcpProxy.start(server.clientPort);
    const follower = new Follower(managerOn(server, {}, { endpoints: [proxy.endpoint] }));
    await follower.until(() => true);
    proxy.cut();
    await until(() => logged('Lost the watch') > 0);
    // It cannot have seen this before it comes back, and does not list again.
    server.put(`${PREFIX}/subnets/10.5.2.0-24`, leaseValue(2));
    proxy.mend();
    await follower.until((table) => table.size === 1);
    expect(follower.batches.map(({ kind }) => kind)).toEqual(['snapshot', 'changes']);
    expect(logged('Lost the watch')).toBe(1);
    await until(() => logged('is back') === 1);
    await follower.stop();
    await proxy.close();
  });

  test('peers() lists anew when the revision to resume at was compacted, and reports what is gone', async () => {
    server.put(`${PREFIX}/subnets/10.5.1.0-24`, leaseValue(1));
    // A pause long enough for all that happens behind the watcher's back.
    const timings = { ...QUICK, retryFirstMs: 8000, retryMostMs: 8000 };
    const follower = new Follower(managerOn(server, { timings }));
    await follower.until((table) => table.size === 1);
    await server.stop();
    await until(() => logged('Lost the watch') > 0);
    await server.start();
    server.etcdctl('del', `${PREFIX}/subnets/10.5.1.0-24`);
    server.put(`${PREFIX}/subnets/10.5.2.0-24`, leaseValue(2));
    server.compact();
    await follower.until((table) => table.size === 1 && find(table, '10.5.2.0/24') !== undefined);
    expect(logged('Cannot resume, listing anew: Etcd compacted')).toBe(1);
    await follower.stop();
  });

  test('a store that was lost is filled again by the nodes that live', async () => {
    for (let i = 0; i < 20; i++) server.put('/elsewhere', String(i)); // a high revision, which the new store is far from
    const nodes = [managerOn(server), managerOn(server)];
    const stop = new AbortController();
    const followers = nodes.map((node) => new Follower(node));
    const holding: Promise<void>[] = [];
    for (const [n, node] of nodes.entries()) {
      const membership = await node.join(await request(node, n + 1), never);
      holding.push(membership.hold(stop.signal, () => {}));
    }
    await Promise.all(followers.map((follower) => follower.until((table) => table.size === 2)));
    const before = server.keys(`${PREFIX}/subnets/`);
    await server.startEmpty();
    await until(() => server.keys(`${PREFIX}/subnets/`).length === 2);
    expect(server.keys(`${PREFIX}/subnets/`)).toEqual(before);
    await Promise.all(followers.map((follower) => follower.until((table) => table.size === 2)));
    stop.abort();
    await Promise.all(holding);
    for (const follower of followers) await follower.stop();
  });

  test('peers() gives up a stream that went silent, and follows again', async () => {
    const follower = new Follower(managerOn(server));
    await follower.until(() => true);
    server.pause();
    await until(() => logged('said nothing') > 0);
    server.resume();
    server.put(`${PREFIX}/subnets/10.5.3.0-24`, leaseValue(3));
    await follower.until((table) => table.size === 1);
    await follower.stop();
  });

  test('peers() lists now and then, in case an event was lost; a list that says nothing new is passed over', async () => {
    const manager = managerOn(server, { timings: { ...QUICK, relistMs: 300 } });
    const follower = new Follower(manager);
    await until(() => manager.statistics().resyncs >= 2);
    await follower.stop();
    expect(follower.batches).toMatchObject([{ kind: 'snapshot' }]);
    expect(logged('Lost the watch')).toBe(0);
  });

  test('config() says once why it waits, and goes on when etcd comes', async () => {
    await server.stop();
    const waiting = firstConfig(managerOn(server), never);
    await until(() => logged('Waiting for the network config') > 0);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(logged('Waiting for the network config')).toBe(1);
    await server.start();
    expect((await waiting).backend.type).toBe('udp');
  });

  test('the next endpoint is used when the first is not there', async () => {
    // 0: begins with the first.
    const node = managerOn(server, { random: () => 0 }, { endpoints: ['http://127.0.0.1:1', server.endpoint] });
    expect(node.statistics().member).toBe('http://127.0.0.1:1');
    const { lease } = await node.join(await request(node, 1), never);
    const follower = new Follower(node);
    await follower.until((table) => table.size === 1);
    expect([...follower.table.values()]).toEqual([lease]);
    await follower.stop();
  });

  test('a user and a password are used, and a new token after the old one is void', async () => {
    for (const words of [
      ['user', 'add', 'root:secret'],
      ['user', 'grant-role', 'root', 'root'],
      ['auth', 'enable'],
    ]) {
      server.etcdctl(...words);
    }
    const node = managerOn(server, {}, { username: 'root', password: 'secret' });
    const first = await firstConfig(node, never);
    await server.stop();
    await server.startUnchecked(); // simple tokens do not survive it
    expect(await firstConfig(node, never)).toEqual(first);
    const follower = new Follower(node);
    await follower.until(() => true);
    await follower.stop();
    const stranger = managerOn(server, {}, { username: 'root', password: 'wrong' });
    const stop = new AbortController();
    const waiting = firstConfig(stranger, stop.signal);
    await until(() => logged('authentication failed') > 0);
    stop.abort(new Error('done'));
    await expect(waiting).rejects.toThrow('done');
    expect(JSON.stringify(log)).not.toMatch(/secret|wrong/);
  });
});

describe('EtcdSubnetManager over TLS', () => {
  let directory: string;
  let files: ReturnType<typeof makeCertificates>;
  beforeAll(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'fltest-tls-'));
    files = makeCertificates(directory);
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  afterEach(() => server.destroy());

  test.each([
    ['with a client certificate', true],
    ['with the authority alone', false],
  ])('works %s', async (_, clientAuth) => {
    server = await EtcdServer.start({ tls: { ...files, clientAuth } });
    server.put(`${PREFIX}/config`, CONFIG);
    const client = clientAuth ? { keyFile: files.key, certFile: files.cert } : {};
    const node = managerOn(server, {}, { caFile: files.ca, ...client });
    const { lease } = await node.join(await request(node, 1), never);
    const follower = new Follower(node);
    await follower.until((table) => table.size === 1);
    expect([...follower.table.values()]).toEqual([lease]);
    await follower.stop();
  });

  test('works over IPv6', async () => {
    const own = makeCertificates(mkdtempSync(path.join(directory, 'ipv6-')), '::1');
    server = await EtcdServer.start({ host: '[::1]', tls: { ...own, clientAuth: true } });
    server.put(`${PREFIX}/config`, CONFIG);
    const node = managerOn(server, {}, { caFile: own.ca, keyFile: own.key, certFile: own.cert });
    const { lease } = await node.join(await request(node, 1), never);
    const follower = new Follower(node);
    await follower.until((table) => table.size === 1);
    expect([...follower.table.values()]).toEqual([lease]);
    await follower.stop();
  });

  test('refuses an etcd of another authority', async () => {
    server = await EtcdServer.start({ tls: { ...files, clientAuth: false } });
    const stop = new AbortController();
    const waiting = firstConfig(managerOn(server), stop.signal);
    await until(() => logged('Waiting for the network config') > 0);
    stop.abort(new Error('done'));
    await expect(waiting).rejects.toThrow('done');
  });
});

/** Waits for a condition; jest's own time limit ends a vain wait. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}
