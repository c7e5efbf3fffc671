/** Two nodes rolled to another version and back, one after the other, while pods ping each other and send streams both ways. */
import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { type Before, Cluster, type Node, PREFIX, until } from './support/cluster.ts';
import { BACKENDS } from './support/faults.ts';
import { bundleFlanneld } from './support/flanneld-bundle.ts';
import { MEBIBYTE, type StreamEnds, stream } from './support/stream.ts';

jest.setTimeout(120_000);

const VERSIONS = ['old', 'new'] as const;
const STREAM_BYTES = 32 * MEBIBYTE;

const programs = new Map<string, string>();
beforeAll(async () => {
  for (const version of VERSIONS) programs.set(version, await bundleFlanneld({ version }));
});
afterAll(() => {
  for (const program of programs.values()) rmSync(path.dirname(program), { recursive: true, force: true });
});

/** As a supervisor that is not systemd does it. */
async function takeOver(node: Node): Promise<void> {
  const before: Before = node.startBeside();
  await until(() => before.logged('Another flanneld has taken over') === 1);
  await before.stop();
  await node.untilReady();
}

/** Where the kernel moves the packets, nothing has to be handed over. */
async function restart(node: Node): Promise<void> {
  await node.stop();
  await node.startReady();
}

/** Asks without a pause until the function is called, which gives the numbers that were answered and those missing among them. */
function startPing(
  from: Node,
  to: Node,
): () => Promise<{ readonly answered: number; readonly lost: readonly number[] }> {
  const words = ['-i', '0.01', '-W', '2', '-I', from.podAddress, to.podAddress];
  const child = spawn('nsenter', [`--net=/run/netns/${from.netns}`, 'ping', ...words]);
  let said = '';
  child.stdout.on('data', (chunk) => {
    said += chunk;
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  return async () => {
    child.kill('SIGINT');
    await ended;
    // What was on its way at the end is neither.
    const numbers = new Set([...said.matchAll(/icmp_seq=(\d+) ttl/g)].map(([, number]) => Number(number)));
    const all = Array.from({ length: Math.max(...numbers) }, (_, index) => index + 1);
    return { answered: numbers.size, lost: all.filter((number) => !numbers.has(number)) };
  };
}

/** One stream after the other until the function is called. */
function startStreams(from: Node, to: Node, port: number): () => Promise<readonly StreamEnds[]> {
  let isOver = false;
  const done = (async () => {
    const all: StreamEnds[] = [];
    while (!isOver) all.push(await stream(from.place(from.podAddress), to.place(to.podAddress), STREAM_BYTES, port));
    return all;
  })();
  return () => {
    isOver = true;
    return done;
  };
}

/** Counters of lost packets that are not zero: of flanneld, its device, and sockets that were full. */
function drops(node: Node): string[] {
  const own = node.get('metrics').match(/^flannel_\w*drop\w*(?:\{.*\})? [1-9].*$/gm) ?? [];
  const sockets = node
    .run('cat', '/proc/net/snmp')
    .match(/^Udp: \d.*$/m)![0]
    .split(' ');
  const full = Number(sockets[5]) + Number(sockets[6]); // RcvbufErrors, SndbufErrors
  return full === 0 ? own : [...own, `${full} packets at full sockets`];
}

describe.each(BACKENDS)('%s', (backend) => {
  let cluster: Cluster;
  afterEach(() => cluster?.destroy());

  test.each([
    ['by a take-over', takeOver],
    ...(backend === 'udp' ? [] : [['by a restart', restart] as const]),
  ] as const)('up and back %s: nothing is lost, and nothing dropped', async (_, change) => {
    cluster = await Cluster.create(programs.get('old')!, 2);
    cluster.etcd.put(`${PREFIX}/config`, JSON.stringify({ Network: '10.5.0.0/16', Backend: { Type: backend } }));
    const [a, b] = cluster.nodes as [Node, Node];
    for (const node of cluster.nodes) node.start();
    for (const node of cluster.nodes) {
      await node.untilReady();
      node.addPodAddress();
    }
    await until(() => a.canPing(b) && b.canPing(a));
    const pings = [startPing(a, b), startPing(b, a)];
    const streams = [startStreams(a, b, 7000), startStreams(b, a, 7001)];
    for (const version of ['new', 'old']) {
      for (const node of cluster.nodes) {
        node.program = programs.get(version)!;
        await change(node);
        expect(JSON.parse(node.get('status')).version).toBe(version);
      }
    }
    const counts = await Promise.all(pings.map((stop) => stop()));
    const ends = (await Promise.all(streams.map((stop) => stop()))).flat();
    process.stderr.write(`${backend} up and back: ${JSON.stringify(counts)}, ${ends.length} streams\n`);
    for (const { answered, lost } of counts) {
      expect(answered).toBeGreaterThan(100);
      expect(lost).toEqual([]);
    }
    for (const { sent, arrived } of ends) expect(arrived).toEqual(sent);
    expect(cluster.nodes.flatMap(drops)).toEqual([]);
  });
});
