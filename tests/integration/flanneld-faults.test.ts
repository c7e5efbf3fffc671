/** Faults while datagrams pass between the pods of two nodes: what was lost is counted, and what is never mended fails. */
import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { Cluster, type Node, PREFIX, until } from './support/cluster.ts';
import {
  BACKENDS,
  FAULTS,
  type Fault,
  type Lab,
  mountState,
  start,
  stateDirectory,
  strayKey,
  unmountState,
} from './support/faults.ts';
import { bundleFlanneld } from './support/flanneld-bundle.ts';
import { now, printJourneys, startNumbered } from './support/numbered.ts';

jest.setTimeout(180_000);

let program: string;
beforeAll(async () => {
  program = await bundleFlanneld();
});
afterAll(() => rmSync(path.dirname(program), { recursive: true, force: true }));

describe.each(BACKENDS)('%s', (backend) => {
  let lab: Lab;

  beforeAll(async () => {
    const cluster = await Cluster.create(program, 3, { etcd: false });
    const [a, b, c] = cluster.nodes as [Node, Node, Node];
    lab = { backend, cluster, a, b, c, etcdPartner: await cluster.startEtcdPair() };
    cluster.etcd.put(`${PREFIX}/config`, `{"Network":"10.5.0.0/16","Backend":{"Type":"${backend}"}}`);
    mkdirSync(stateDirectory(a), { recursive: true });
    mountState(a);
    for (const node of [a, b]) start(node);
    for (const node of [a, b]) await node.untilReady();
    for (const node of [a, b]) node.addPodAddress();
  });
  afterAll(async () => {
    await lab?.a.kill();
    if (lab !== undefined) unmountState(lab.a);
    await lab?.cluster.destroy();
  });

  const passes = () => lab.a.canPing(lab.b) && lab.b.canPing(lab.a);
  beforeEach(() => until(passes));
  let stop: Awaited<ReturnType<typeof startNumbered>> | undefined;
  afterEach(async () => {
    await stop?.();
    lab.cluster.etcd.etcdctl('del', strayKey);
    expect([lab.a, lab.b].flatMap(({ log }) => log.filter(({ level }) => level >= 60))).toEqual([]);
  });

  describe.each(Object.entries(FAULTS))('faults %s', (_, faults) => {
    const here = faults.filter(({ backends = BACKENDS }: Fault) => backends.includes(backend));
    test.each<Fault>(here)(
      'packets pass as before after $name',
      async ({ name, interrupts, cause, healed = () => true }) => {
        const { a, b } = lab;
        stop = await startNumbered(a.place(a.podAddress), b.place(b.podAddress), { settleMs: 300 });
        await rest();
        await until(passes); // and with the pings all that was sent before them, however long it waited for a processor
        const from = now();
        await cause(lab);
        await until(() => passes() && healed(lab));
        const to = now();
        await rest();
        const journeys = await stop();
        stop = undefined;
        printJourneys(`${backend}: ${name}, well again after ${Math.round(to - from)} ms`, journeys);
        for (const { sent, lost } of journeys) {
          expect(sent - lost.length).toBeGreaterThan(20);
          // What was on its way may be lost, too.
          const explained = (at: number) => interrupts.includes(backend) && at > from - 100 && at < to;
          expect(lost.filter((at) => !explained(at))).toEqual([]);
        }
      },
    );
  });

  test('both nodes are ready in the end', async () => {
    for (const node of [lab.a, lab.b]) await node.untilReady();
  });
});

/** Some datagrams before and after the trouble. */
const rest = () => new Promise((resolve) => setTimeout(resolve, 250));
