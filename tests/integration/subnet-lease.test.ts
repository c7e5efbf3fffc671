/** A node's lease through everything that happens to it, its node and etcd. */
import { setMaxListeners } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { formatLeaseKey, formatLeaseSubnets, formatLeaseValue, type LeaseSubnets } from '@flannel-ts/flannel/lease';
import { pino } from 'pino';
import { type EtcdManagerSettings, EtcdSubnetManager } from '../../daemon/src/subnet/etcd/manager.ts';
import type { WatchTimings } from '../../daemon/src/subnet/etcd/watch.ts';
import type { Membership } from '../../daemon/src/subnet/manager.ts';
import { CONFIG, Follower, find, leaseValue, publicIp, request } from '../../daemon/testing/subnet/compliance.ts';
import { EtcdServer } from './support/etcd-server.ts';
import { TcpProxy } from './support/tcp-proxy.ts';

const PREFIX = '/coreos.com/network';
const never = new AbortController().signal;
setMaxListeners(0, never);
const QUICK: WatchTimings = {
  confirmMs: 1000,
  probeMs: 500,
  relistMs: 600_000,
  relistSoonMs: 600_000,
  retryFirstMs: 50,
  retryMostMs: 200,
};

jest.setTimeout(60_000);

let server: EtcdServer;
let directory: string;
let log: Record<string, unknown>[] = [];
const logged = (text: string) => log.filter((line) => String(line.msg).includes(text)).length;
const managers: EtcdSubnetManager[] = [];
const proxies: TcpProxy[] = [];
const holds: { readonly stop: AbortController; readonly done: Promise<void> }[] = [];

beforeEach(() => {
  log = [];
  directory = mkdtempSync(path.join(tmpdir(), 'fltest-lease-'));
});
afterEach(async () => {
  for (const { stop } of holds) stop.abort();
  await Promise.allSettled(holds.splice(0).map(({ done }) => done));
  for (const manager of managers.splice(0)) manager.close();
  for (const proxy of proxies.splice(0)) await proxy.close();
  await server.destroy();
  rmSync(directory, { recursive: true, force: true });
});

async function startEtcd(...flags: string[]): Promise<void> {
  server = await EtcdServer.start({ flags });
  server.put(`${PREFIX}/config`, CONFIG);
}

function managerAt(endpoint: string, settings: EtcdManagerSettings = {}): EtcdSubnetManager {
  const stream = { write: (line: string) => void log.push(JSON.parse(line) as Record<string, unknown>) };
  const logger = pino({ level: 'trace' }, stream);
  const all = { timings: QUICK, keptAfterMs: 300, ...settings };
  const manager = new EtcdSubnetManager({ endpoints: [endpoint], prefix: PREFIX }, logger, all);
  managers.push(manager);
  return manager;
}

/** A node with a disk. */
const nodeAt = (endpoint: string, name: string, settings: EtcdManagerSettings = {}): EtcdSubnetManager =>
  managerAt(endpoint, { keptState: { file: stateFile(name), identity: 'this machine' }, ...settings });
const stateFile = (name: string): string => path.join(directory, `${name}.state.json`);
const kept = (name: string) => JSON.parse(readFileSync(stateFile(name), 'utf8'));

/** The process ends here: what it holds stays in etcd. */
function crash(manager: EtcdSubnetManager): void {
  for (const { stop } of holds.splice(0)) stop.abort();
  manager.close();
  managers.splice(managers.indexOf(manager), 1);
}

interface Holding {
  readonly done: Promise<void>;
  trouble: string | undefined;
  readonly troubles: string[];
}

function hold(membership: Membership): Holding {
  const stop = new AbortController();
  const holding: { done: Promise<void>; trouble: string | undefined; troubles: string[] } = {
    done: Promise.resolve(),
    trouble: undefined,
    troubles: [],
  };
  holding.done = membership.hold(stop.signal, (trouble) => {
    holding.trouble = trouble;
    if (trouble !== undefined) holding.troubles.push(trouble);
  });
  holding.done.catch(() => {});
  holds.push({ stop, done: holding.done });
  return holding;
}

/** Resolves when the membership has looked its key up and written it. */
const publishAgain = (membership: Membership) => membership.publish({ publicIp: publicIp(3), backendType: '' }, never);

async function joinAs(node: EtcdSubnetManager, n: number, previous?: Partial<LeaseSubnets>): Promise<Membership> {
  return node.join(await request(node, n, previous), never);
}

const keyOf = (lease: LeaseSubnets) => `${PREFIX}/subnets/${formatLeaseKey(lease)}`;
const subnetKeys = () => server.keys(`${PREFIX}/subnets/`);

test('a lease that ended while the node was cut off is leased again, and the other nodes hear of both', async () => {
  await startEtcd();
  const proxy = await proxied();
  const node = managerAt(proxy.endpoint, { ttlSeconds: 2 });
  const membership = await joinAs(node, 1);
  hold(membership);
  const follower = new Follower(managerAt(server.endpoint));
  await follower.until((table) => table.size === 1);
  proxy.cut();
  await follower.until((table) => table.size === 0); // by its end in etcd
  proxy.mend();
  await follower.until((table) => table.size === 1);
  expect([...follower.table.values()]).toEqual([membership.lease]);
  expect(server.record(keyOf(membership.lease))?.leaseId).not.toBe('0');
  await follower.stop();
});

test('a subnet that another node leased while this one was cut off is given up in words', async () => {
  await startEtcd();
  const proxy = await proxied();
  const node = managerAt(proxy.endpoint, { ttlSeconds: 2 });
  const membership = await joinAs(node, 1);
  const { done } = hold(membership);
  const key = keyOf(membership.lease);
  proxy.cut();
  await until(() => server.get(key) === undefined);
  server.putLeased(key, leaseValue(9));
  proxy.mend();
  await expect(done).rejects.toMatchObject({ code: 'LEASE_TAKEN' });
  await expect(done).rejects.toThrow('192.168.0.9');
  expect(server.get(key)).toBe(leaseValue(9));
});

test('a lost lease is leased again as soon as etcd has space, and until then the node says why it is not ready', async () => {
  await startEtcd('--quota-backend-bytes=16777216');
  const membership = await joinAs(managerAt(server.endpoint), 1);
  const holding = hold(membership);
  server.fill();
  server.etcdctl('del', keyOf(membership.lease));
  await until(() => holding.trouble !== undefined);
  expect(holding.trouble).toContain(`The lease of ${formatLeaseSubnets(membership.lease)} is gone from etcd`);
  expect(holding.trouble).toContain('database space exceeded');
  expect(holding.trouble).toContain('etcdctl alarm disarm');
  server.makeRoom();
  await until(() => holding.trouble === undefined);
  expect(server.get(keyOf(membership.lease))).toBe(leaseValue(1));
});

test('a lease is renewed, and leased again after a restart, while etcd is out of space', async () => {
  await startEtcd('--quota-backend-bytes=16777216');
  const first = managerAt(server.endpoint, { ttlSeconds: 3 });
  const { lease } = await joinAs(first, 1);
  server.fill();
  crash(first);
  const second = managerAt(server.endpoint, { ttlSeconds: 3 });
  const membership = await joinAs(second, 1);
  expect(membership.lease).toEqual(lease);
  hold(membership);
  await until(() => logged('Renewed the lease') >= 3);
  expect(server.get(keyOf(lease))).toBe(leaseValue(1));
});

test('a daemon that starts again and again leaves no etcd leases behind, with and without its kept state', async () => {
  await startEtcd();
  for (let i = 0; i < 5; i++) {
    const node = i < 3 ? nodeAt(server.endpoint, 'a') : managerAt(server.endpoint);
    await joinAs(node, 1);
    crash(node);
  }
  expect(subnetKeys()).toHaveLength(1);
  expect(server.leaseCount()).toBe(1);
});

test.each([
  ['unreadable', 'garbage'],
  ['another node’s, with our etcd lease still attached', leaseValue(9)],
])('an own value that was overwritten with something %s is written again, and reported', async (_, value) => {
  await startEtcd();
  const membership = await joinAs(managerAt(server.endpoint), 1);
  const holding = hold(membership);
  const key = keyOf(membership.lease);
  server.etcdctl('put', key, value, '--ignore-lease');
  await until(() => server.get(key) === leaseValue(1));
  await until(() => holding.trouble !== undefined);
  expect(holding.trouble).toContain('was overwritten');
  expect(holding.trouble).toContain(key);
  expect(server.record(key)?.leaseId).not.toBe('0');
});

test('a lease that an administrator makes a reservation stays one, also when its key is lost', async () => {
  await startEtcd();
  const membership = await joinAs(managerAt(server.endpoint), 1);
  hold(membership);
  const key = keyOf(membership.lease);
  server.put(key, leaseValue(1));
  await until(() => membership.end?.() === undefined);
  server.etcdctl('del', key);
  await until(() => server.get(key) !== undefined);
  expect(server.record(key)?.leaseId).toBe('0');
});

test('a lease that does not fit the network config is replaced in one step, so that nobody finds the node without one', async () => {
  await startEtcd();
  const stale = `${PREFIX}/subnets/10.6.9.0-24`;
  server.putLeased(stale, leaseValue(1), 600);
  const key = keyOf((await joinAs(managerAt(server.endpoint), 1)).lease);
  const revision = Number(server.record(key)!.modRevision);
  const at = (rev: number) =>
    server.etcdctl('get', `${PREFIX}/subnets/`, '--prefix', '--keys-only', `--rev=${rev}`).trim();
  expect([at(revision - 1), at(revision)]).toEqual([stale, key]);
  await until(() => server.leaseCount() === 1);
  expect(logged('of this node: it does not fit the network config')).toBe(1);
});

test('a reservation that does not fit the network config is neither deleted nor used', async () => {
  await startEtcd();
  server.put(`${PREFIX}/subnets/10.6.9.0-24`, leaseValue(1));
  const { lease } = await joinAs(managerAt(server.endpoint), 1);
  expect(formatLeaseKey(lease)).toMatch(/^10\.5\./);
  expect(server.get(`${PREFIX}/subnets/10.6.9.0-24`)).toBe(leaseValue(1));
  expect(logged('does not fit the network config and is not used')).toBe(1);
});

describe('a node whose address changes', () => {
  test('keeps its subnet between two runs, and publishes the new address', async () => {
    await startEtcd();
    const before = nodeAt(server.endpoint, 'a');
    const { lease } = await joinAs(before, 1);
    crash(before);
    const after = await joinAs(nodeAt(server.endpoint, 'a'), 2);
    expect(formatLeaseKey(after.lease)).toBe(formatLeaseKey(lease));
    expect(subnetKeys()).toEqual([keyOf(lease)]);
    expect(server.get(keyOf(lease))).toBe(leaseValue(2));
    expect(server.leaseCount()).toBe(1);
  });

  test('keeps its subnet while it runs, and its peers hear of the new address', async () => {
    await startEtcd();
    const membership = await joinAs(nodeAt(server.endpoint, 'a'), 1);
    hold(membership);
    const follower = new Follower(managerAt(server.endpoint));
    await follower.until((table) => table.size === 1);
    await membership.publish({ publicIp: publicIp(2), backendType: '' }, never);
    expect(server.get(keyOf(membership.lease))).toBe(leaseValue(2));
    expect(membership.lease.attributes.publicIp).toBe(publicIp(2));
    await follower.until((table) => [...table.values()][0]?.attributes.publicIp === publicIp(2));
    expect(follower.table.size).toBe(1);
    await follower.stop();
  });

  test('leaves its former lease to a node that has its former address and leased it since', async () => {
    await startEtcd();
    const before = nodeAt(server.endpoint, 'a');
    const { lease } = await joinAs(before, 1);
    crash(before);
    const other = await joinAs(nodeAt(server.endpoint, 'b'), 1);
    const otherHolding = hold(other);
    expect(formatLeaseKey(other.lease)).toBe(formatLeaseKey(lease));
    const after = await joinAs(nodeAt(server.endpoint, 'a'), 2, lease);
    expect(formatLeaseKey(after.lease)).not.toBe(formatLeaseKey(lease));
    expect(otherHolding.troubles).toEqual([]);
    expect(server.get(keyOf(lease))).toBe(leaseValue(1));
  });

  test('keeps its own lease when its new address is one that another node had', async () => {
    await startEtcd();
    const before = nodeAt(server.endpoint, 'a');
    const { lease } = await joinAs(before, 1);
    crash(before);
    server.putLeased(`${PREFIX}/subnets/10.5.210.0-24`, leaseValue(2));
    const after = await joinAs(nodeAt(server.endpoint, 'a'), 2);
    expect(formatLeaseKey(after.lease)).toBe(formatLeaseKey(lease));
    expect(server.get(`${PREFIX}/subnets/10.5.210.0-24`)).toBe(leaseValue(2));
  });

  test('is not confused with the machine that its disk was copied from', async () => {
    await startEtcd();
    const original = await joinAs(nodeAt(server.endpoint, 'a'), 1);
    hold(original);
    await until(() => existsSync(stateFile('a')));
    const settings = { keptState: { file: stateFile('a'), identity: 'another machine' } };
    const copy = await joinAs(managerAt(server.endpoint, settings), 2);
    expect(formatLeaseKey(copy.lease)).not.toBe(formatLeaseKey(original.lease));
    expect(logged('another machine, of which this one may be a copy')).toBe(1);
  });
});

describe('an etcd that was restored from an older snapshot', () => {
  test('gives a subnet to another node, at a revision that the first one knows: the first one leaves it', async () => {
    await startEtcd();
    const proxy = await proxied();
    server.saveData();
    const membership = await joinAs(managerAt(proxy.endpoint), 1);
    const holding = hold(membership);
    const key = keyOf(membership.lease);
    const { modRevision } = server.record(key)!;
    proxy.cut();
    await server.restore();
    server.putLeased(key, leaseValue(2));
    expect(server.record(key)!.modRevision).toBe(modRevision);
    const { leaseId } = server.record(key)!;
    proxy.mend();
    await expect(holding.done).rejects.toMatchObject({ code: 'LEASE_TAKEN' });
    expect(server.record(key)).toEqual({ value: leaseValue(2), modRevision, leaseId });
  });

  test('has the own key as it was before: that is no other node with this address', async () => {
    await startEtcd();
    const before = managerAt(server.endpoint);
    const { lease } = await joinAs(before, 1);
    server.saveData();
    crash(before);
    const proxy = await proxied();
    const membership = await joinAs(managerAt(proxy.endpoint), 1);
    expect(membership.lease).toEqual(lease);
    const holding = hold(membership);
    const { modRevision } = server.record(keyOf(lease))!;
    proxy.cut();
    await server.restore();
    expect(Number(server.record(keyOf(lease))!.modRevision)).toBeLessThan(Number(modRevision));
    proxy.mend();
    await publishAgain(membership);
    expect(holding.troubles).toEqual([]);
    expect(server.get(keyOf(lease))).toBe(leaseValue(3));
  });

  test('and has come to later revisions since: what the watch did not see is found all the same', async () => {
    await startEtcd();
    const subnet = (n: number) => `${PREFIX}/subnets/10.5.${n}.0-24`;
    const proxy = await proxied();
    const timings = { ...QUICK, relistSoonMs: 500 };
    const follower = new Follower(managerAt(proxy.endpoint, { timings }));
    server.put(subnet(1), leaseValue(1));
    await follower.until((table) => table.size === 1);
    server.saveData();
    server.put(subnet(2), leaseValue(2));
    await follower.until((table) => table.size === 2);
    proxy.cut();
    await server.restore();
    for (const n of [3, 4]) server.put(subnet(n), leaseValue(n));
    proxy.mend();
    await follower.until(
      (table) => [1, 3, 4].every((n) => find(table, `10.5.${n}.0/24`) !== undefined) && table.size === 3,
    );
    await follower.stop();
  });
});

describe('two nodes with one public address', () => {
  test('the second is refused in one sentence, the first goes on and reports it', async () => {
    await startEtcd();
    const first = await joinAs(managerAt(server.endpoint), 1);
    const firstHolding = hold(first);
    await until(() => firstHolding.trouble === undefined && server.get(keyOf(first.lease)) !== undefined);
    const second = await joinAs(managerAt(server.endpoint), 1);
    const secondHolding = hold(second);
    await expect(secondHolding.done).rejects.toMatchObject({
      code: 'LEASE_TAKEN',
      message: expect.stringContaining('public address 192.168.0.1, which is also this node'),
    });
    await until(() => firstHolding.trouble !== undefined);
    expect(firstHolding.trouble).toContain('another node writes the lease of');
    expect(firstHolding.trouble).toContain('-public-ip');
    expect(server.get(keyOf(first.lease))).toBe(leaseValue(1));
    expect(server.leaseCount()).toBe(1);
  });

  test('the second writes nothing that peers would send by', async () => {
    await startEtcd();
    const first = await joinAs(managerAt(server.endpoint), 1);
    const firstHolding = hold(first);
    const follower = new Follower(managerAt(server.endpoint));
    await follower.until((table) => table.size === 1);
    const second = managerAt(server.endpoint);
    const other = { ...(await request(second, 1)), attributes: { ...first.lease.attributes, backendType: 'vxlan' } };
    await expect(second.join(other, never)).rejects.toMatchObject({ code: 'LEASE_TAKEN' });
    await until(() => firstHolding.trouble !== undefined);
    await joinAs(managerAt(server.endpoint), 2);
    await follower.until((table) => table.size === 2);
    await follower.stop();
    const seen = follower.batches.flatMap((batch) => (batch.kind === 'snapshot' ? batch.leases : batch.changed));
    expect(seen.map(({ attributes }) => formatLeaseValue(attributes))).toEqual([leaseValue(1), leaseValue(2)]);
  });

  test('a node that starts again after a crash is no second node', async () => {
    await startEtcd();
    const before = managerAt(server.endpoint, { ttlSeconds: 2 });
    hold(await joinAs(before, 1));
    crash(before);
    const after = hold(await joinAs(managerAt(server.endpoint, { ttlSeconds: 2 }), 1));
    await until(() => logged('Renewed the lease') > 0);
    expect(after.troubles).toEqual([]);
  });
});

describe('a start without etcd', () => {
  test('serves config, lease and peers as they were, and goes on when etcd is back', async () => {
    await startEtcd();
    server.putLeased(`${PREFIX}/subnets/10.5.211.0-24`, leaseValue(7));
    const before = nodeAt(server.endpoint, 'a');
    const { lease } = await joinAs(before, 1);
    const seen = new Follower(before);
    await seen.until((table) => table.size === 2);
    await seen.stop();
    crash(before);
    expect(statSync(stateFile('a')).mode & 0o777).toBe(0o600);
    expect(kept('a').version).toBe(1);
    await server.stop();

    const after = nodeAt(server.endpoint, 'a');
    const membership = await joinAs(after, 1);
    const holding = hold(membership);
    const follower = new Follower(after);
    await follower.until((table) => table.size === 2);
    expect(membership.lease).toEqual(lease);
    expect(logged('Etcd does not answer: serving with the kept lease of')).toBe(1);
    expect(after.statistics()).toMatchObject({ name: 'etcd', servesKept: true });

    await server.start();
    await until(() => logged('still is this node') === 1);
    server.putLeased(`${PREFIX}/subnets/10.5.212.0-24`, leaseValue(8));
    await follower.until((table) => table.size === 3);
    expect(after.statistics()).toMatchObject({ servesKept: false });
    await until(() => holding.trouble === undefined);
    expect(server.record(keyOf(lease))?.value).toBe(leaseValue(1));
    await follower.stop();
  });

  test('publishes an address that changed meanwhile, when etcd is back', async () => {
    await startEtcd();
    const before = nodeAt(server.endpoint, 'a');
    const { lease } = await joinAs(before, 1);
    await firstOf(before);
    crash(before);
    await server.stop();
    const membership = await joinAs(nodeAt(server.endpoint, 'a'), 2);
    hold(membership);
    expect(formatLeaseKey(membership.lease)).toBe(formatLeaseKey(lease));
    await server.start();
    await until(() => server.get(keyOf(lease)) === leaseValue(2));
  });

  test('does not take the question of its own start, which etcd answers late, for another node', async () => {
    await startEtcd();
    const before = nodeAt(server.endpoint, 'a');
    const { lease } = await joinAs(before, 1);
    await firstOf(before);
    crash(before);
    server.pause();
    try {
      hold(await joinAs(nodeAt(server.endpoint, 'a'), 1));
    } finally {
      server.resume();
    }
    const { modRevision } = server.record(keyOf(lease))!;
    await until(() => logged("still is this node's") === 1);
    // Long enough for the answer, and for what would be written after it.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(server.record(keyOf(lease))!.modRevision).toBe(modRevision);
    expect(logged('Another running flanneld')).toBe(0);
  });

  test('leases its subnet again when etcd has lost it meanwhile', async () => {
    await startEtcd();
    const before = nodeAt(server.endpoint, 'a');
    const { lease } = await joinAs(before, 1);
    await firstOf(before);
    crash(before);
    await server.stop();
    hold(await joinAs(nodeAt(server.endpoint, 'a'), 1));
    await server.startEmpty();
    await until(() => server.get(keyOf(lease)) === leaseValue(1));
    await until(() => logged('was gone from etcd: leased the same subnet again') === 1);
  });

  test('waits for etcd when the kept lease has ended', async () => {
    await startEtcd();
    const before = nodeAt(server.endpoint, 'a', { ttlSeconds: 2 });
    await joinAs(before, 1);
    await firstOf(before);
    crash(before);
    await until(() => subnetKeys().length === 0);
    await server.stop();
    const waiting = joinAs(nodeAt(server.endpoint, 'a', { ttlSeconds: 2 }), 1);
    await until(() => logged('Waiting for the network config') >= 1);
    expect(logged('kept lease')).toBe(0);
    await server.start();
    await waiting;
    expect(logged('kept lease')).toBe(0);
  });

  test('waits for etcd when the kept state is of another prefix', async () => {
    await startEtcd();
    const before = nodeAt(server.endpoint, 'a');
    await joinAs(before, 1);
    await firstOf(before);
    crash(before);
    await server.stop();
    const stream = { write: (line: string) => void log.push(JSON.parse(line) as Record<string, unknown>) };
    const settings = {
      timings: QUICK,
      keptAfterMs: 100,
      keptState: { file: stateFile('a'), identity: 'this machine' },
    };
    const options = { endpoints: [server.endpoint], prefix: '/another' };
    const after = new EtcdSubnetManager(options, pino({}, stream), settings);
    managers.push(after);
    const stop = new AbortController();
    const waiting = after.config(stop.signal).next();
    await until(() => logged('Waiting for the network config') >= 1);
    expect(logged('it is of the etcd prefix /coreos.com/network')).toBe(1);
    stop.abort();
    expect(await waiting).toMatchObject({ done: true });
  });

  /** So that config and leases are kept, too. */
  async function firstOf(node: EtcdSubnetManager): Promise<void> {
    const follower = new Follower(node);
    await follower.until(() => true);
    await follower.stop();
  }
});

async function proxied(): Promise<TcpProxy> {
  const proxy = await TcpProxy.start(server.clientPort);
  proxies.push(proxy);
  return proxy;
}

/** Waits for a condition; jest's own time limit ends a vain wait. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}
