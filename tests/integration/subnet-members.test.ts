/** A subnet manager and three members of etcd, of which one fails. In a network namespace of its own. */
import { execFileSync } from 'node:child_process';
import { setMaxListeners } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { pino } from 'pino';
import { EtcdSubnetManager } from '../../daemon/src/subnet/etcd/manager.ts';
import type { WatchTimings } from '../../daemon/src/subnet/etcd/watch.ts';
import { CONFIG, Follower, find, leaseValue, request } from '../../daemon/testing/subnet/compliance.ts';
import { CLONE_NEWNET, OWN_NETNS } from '../../packages/linux/src/enter-netns.ts';
import { libc } from '../../packages/linux/src/ffi/libc.ts';
import { type EtcdServer, startEtcdCluster } from './support/etcd-server.ts';

const PREFIX = '/coreos.com/network';
const TIMINGS: WatchTimings = {
  confirmMs: 3000,
  probeMs: 1500,
  relistMs: 600_000,
  relistSoonMs: 600_000,
  retryFirstMs: 50,
  retryMostMs: 500,
};
const never = new AbortController().signal;
setMaxListeners(0, never);

jest.setTimeout(240_000);

let home: number;
let members: readonly EtcdServer[] = [];
let manager: EtcdSubnetManager;
let follower: Follower;
const stop = new AbortController();
const running: Promise<unknown>[] = [];
let lastLease = 0;

beforeAll(async () => {
  // Sockets are opened, and programs started, by this thread.
  home = openSync(OWN_NETNS, 'r');
  if (libc.unshare(CLONE_NEWNET) !== 0) throw new Error('Cannot make a network namespace: is this root?');
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  members = await startEtcdCluster();
  members[0]!.put(`${PREFIX}/config`, CONFIG);
  const endpoints = members.map(({ endpoint }) => endpoint);
  manager = new EtcdSubnetManager({ endpoints, prefix: PREFIX }, pino({ level: 'silent' }), {
    timings: TIMINGS,
    random: () => 0, // begins with the first member
    ttlSeconds: 30,
  });
  // The daemon's three users of one client: leases, its own lease, config.
  follower = new Follower(manager);
  const membership = await manager.join(await request(manager, 1), never);
  running.push(membership.hold(stop.signal, () => {}));
  running.push(drain(manager.config(stop.signal)));
  await follower.until((table) => table.size === 1);
});

afterAll(async () => {
  stop.abort();
  await follower?.stop();
  await Promise.allSettled(running);
  manager?.close();
  for (const member of members) await member.destroy();
  libc.setns(home, CLONE_NEWNET);
  closeSync(home);
});

async function drain(source: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of source);
}

const inUse = (): EtcdServer => members.find(({ endpoint }) => endpoint === manager.statistics().member)!;

/** Another node appears, through a member that works; resolves when the manager has it. */
async function seesNewLease(through: EtcdServer): Promise<void> {
  const name = `10.5.${100 + ++lastLease}.0-24`;
  for (;;) {
    try {
      through.put(`${PREFIX}/subnets/${name}`, leaseValue(100 + lastLease));
      break;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100)); // no leader yet
    }
  }
  await follower.until((table) => find(table, name.replace('-', '/')) !== undefined);
}

/** It is on another member, and stays there. */
async function goesOnWithout(failed: EtcdServer): Promise<void> {
  const through = members.find((member) => member !== failed)!;
  await seesNewLease(through);
  await until(() => inUse() !== failed);
  const { failovers } = manager.statistics();
  for (let i = 0; i < 3; i++) await seesNewLease(through);
  await until(() => manager.statistics().silentMs > TIMINGS.probeMs / 2); // it is asked for a sign of life again
  await until(() => manager.statistics().silentMs < TIMINGS.probeMs / 2);
  expect(manager.statistics().failovers).toBe(failovers);
  expect(inUse()).not.toBe(failed);
}

test('begins with the member that it was given', () => {
  expect(inUse()).toBe(members[0]);
});

test.each([1, 2, 3])('a member that freezes (SIGSTOP), time %s, is left for one that works', async () => {
  const frozen = inUse();
  frozen.pause();
  await goesOnWithout(frozen);
  frozen.resume();
});

test('a leader that is lost costs seconds', async () => {
  const leader = members.find((member) => {
    const [status] = JSON.parse(member.etcdctl('endpoint', 'status', '-w', 'json').replace(/:(\d{15,})/g, ':"$1"'));
    return status.Status.header.member_id === status.Status.leader;
  })!;
  await leader.stop();
  await seesNewLease(members.find((member) => member !== leader)!);
  await leader.startUnchecked();
  await leader.waitReady();
});

test('a member behind a black hole (no RST) is left for one that works', async () => {
  const lost = inUse();
  const rules = ['dport', 'sport'].map((port) => `tcp ${port} ${lost.clientPort} drop`).join('\n');
  execFileSync('nft', ['-f', '-'], {
    input: `table inet hole { chain in { type filter hook input priority 0; policy accept;\n${rules}\n}\n}\n`,
  });
  await goesOnWithout(lost);
  execFileSync('nft', ['delete', 'table', 'inet', 'hole']);
});

/** Waits for a condition; jest's own time limit ends a vain wait. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}
