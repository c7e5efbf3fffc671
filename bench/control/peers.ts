/** One node, and peers that exist in etcd only. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { ControlLab, type ControlNode, untilTrue } from './lab.ts';
import { type Backend, largeNetwork, leaseOf, type Phantom, phantom } from './phantom.ts';
import { type Contender, record, type Samples } from './samples.ts';
import { type Arrival, now, startReceiver, startSender } from './stream.ts';

const OUTAGE_MS = 5000;
/** After the start, until the memory is what it stays. */
const SETTLED_MS = 10_000;
/** Long enough for what changes have left in memory to be given back, too. */
const QUIET_MS = 25_000;
const RENEWALS = 1000;

export async function measurePeers(
  { program }: Contender,
  backend: Backend,
  leases: number,
  changes: number,
  samples: Samples,
): Promise<void> {
  const lab = await ControlLab.create(largeNetwork(backend));
  try {
    const peers = Array.from({ length: leases }, (_, i) => phantom(i));
    await lab.etcd.put(peers.map((peer) => leaseOf(backend, peer)));
    const node = lab.addNode(program);
    const of = `${backend}, ${leases.toLocaleString('en')} leases`;
    const what = (text: string) => `${of}: ${text}`;
    record(samples, what('start to all peers in place'), 'ms', await untilAllInPlace(lab, backend, node, peers));
    await sleep(SETTLED_MS);
    record(samples, what('resident memory'), 'MB', node.residentBytes / 1e6);
    const times = await measureChanges(lab, backend, node, peers[0]!, changes);
    record(samples, what('a peer moves, until packets follow (p50)'), 'ms', percentile(times, 50));
    record(samples, what('a peer moves, until packets follow (p99)'), 'ms', percentile(times, 99));
    if (leases === RENEWALS) {
      const cpu = await measureRenewals(lab, backend, node, peers);
      record(samples, what('CPU time for a renewal by each'), 'ms', cpu * 1000);
    }
    record(
      samples,
      what('etcd is back, until a change of a peer is followed'),
      'ms',
      await measureOutage(lab, backend, node, peers[0]!),
    );
    const before = node.cpuSeconds;
    await sleep(QUIET_MS);
    const share = (node.cpuSeconds - before) / (QUIET_MS / 1000);
    record(samples, what('CPU time while nothing changes, of one processor'), '%', share * 100);
    record(samples, what('resident memory after the changes'), 'MB', node.residentBytes / 1e6);
  } finally {
    await lab.destroy();
  }
}

async function untilAllInPlace(
  lab: ControlLab,
  backend: Backend,
  node: ControlNode,
  peers: readonly Phantom[],
): Promise<number> {
  const missing = new Set(peers.map(({ inside }) => inside));
  let last = 0;
  const receiver = startReceiver(lab.vpc, backend, ['0.0.0.0'], ({ ms, inside }) => {
    if (missing.delete(inside)) last = ms;
  });
  const sender = startSender(
    node.netns,
    20,
    peers.map(({ inside }) => inside),
  );
  try {
    await sleep(500); // both listen and send
    const start = now();
    node.start();
    const done = () => missing.size === 0 || !node.isRunning;
    await untilTrue(done, () => `${missing.size} of ${peers.length} peers in place: ${node.log}`, 180_000);
    if (missing.size > 0) throw new Error(`flanneld ended: ${node.log}`);
    return last - start;
  } finally {
    sender.kill();
    receiver.kill();
  }
}

/** A peer that moves between two addresses; packets go to it every millisecond. */
class MovingPeer {
  private readonly arrivals: Arrival[] = [];
  private readonly places: readonly [Phantom, Phantom];
  private readonly children;

  constructor(
    private readonly lab: ControlLab,
    private readonly backend: Backend,
    private readonly node: ControlNode,
    peer: Phantom,
  ) {
    this.places = [
      { ...peer, publicAddress: '100.65.0.1' },
      { ...peer, publicAddress: '100.65.0.2' },
    ];
    const addresses = this.places.map(({ publicAddress }) => publicAddress);
    this.children = [
      startReceiver(lab.vpc, backend, addresses, (arrival) => this.arrivals.push(arrival)),
      startSender(node.netns, 1, [peer.inside]),
    ];
  }

  /** Milliseconds from before the change in etcd until a packet arrives at the new address. */
  async move(): Promise<number> {
    // Arrivals where the one before was are not reported.
    const place = this.places.find(({ publicAddress }) => publicAddress !== this.arrivals.at(-1)?.at)!;
    const seen = this.arrivals.length;
    const start = now();
    await this.lab.etcd.put([leaseOf(this.backend, place)]);
    const found = () => this.arrivals.slice(seen).find(({ at }) => at === place.publicAddress);
    await untilTrue(
      () => found() !== undefined,
      () => `a packet at ${place.publicAddress}: ${this.node.log}`,
    );
    return found()!.ms - start;
  }

  /** Resolves when the addresses are free for the next one. */
  async stop(): Promise<void> {
    const running = this.children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
    const ended = running.map((child) => once(child, 'exit'));
    for (const child of running) child.kill();
    await Promise.all(ended);
  }
}

async function measureChanges(
  lab: ControlLab,
  backend: Backend,
  node: ControlNode,
  peer: Phantom,
  count: number,
): Promise<number[]> {
  const moving = new MovingPeer(lab, backend, node, peer);
  try {
    await sleep(500);
    await moving.move(); // the first one may find the receiver not listening yet
    const times: number[] = [];
    for (let i = 0; i < count; i++) {
      times.push(await moving.move());
      await sleep(20);
    }
    return times;
  } finally {
    await moving.stop();
  }
}

/** From the moment at which etcd answers again. */
async function measureOutage(lab: ControlLab, backend: Backend, node: ControlNode, peer: Phantom): Promise<number> {
  const moving = new MovingPeer(lab, backend, node, peer);
  try {
    await sleep(500);
    await moving.move();
    await lab.etcd.stop();
    await sleep(OUTAGE_MS);
    await lab.etcd.start();
    return await moving.move();
  } finally {
    await moving.stop();
  }
}

/** CPU seconds of the daemon while every peer renews once, over ten seconds. */
async function measureRenewals(
  lab: ControlLab,
  backend: Backend,
  node: ControlNode,
  peers: readonly Phantom[],
): Promise<number> {
  const before = node.cpuSeconds;
  const start = now();
  for (const [i, peer] of peers.entries()) {
    await lab.etcd.put([leaseOf(backend, peer)]);
    const ahead = start + (i * 10_000) / peers.length - now();
    if (ahead > 0) await sleep(ahead);
  }
  await sleep(500);
  return node.cpuSeconds - before;
}

export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil((sorted.length * percent) / 100) - 1)]!;
}
