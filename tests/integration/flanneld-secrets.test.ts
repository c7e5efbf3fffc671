import { rmSync } from 'node:fs';
import path from 'node:path';
import { Cluster, type Node, PREFIX, until } from './support/cluster.ts';
import { compileFlanneld } from './support/flanneld-bundle.ts';

jest.setTimeout(120_000);

const SECRET = 'correct-horse-battery';

let program: string;
let cluster: Cluster;
beforeAll(() => {
  program = compileFlanneld();
});
afterAll(() => rmSync(path.dirname(program), { recursive: true, force: true }));
afterEach(() => cluster?.destroy());

test.each([
  ['a flag', [`-etcd-password=${SECRET}`], {}],
  ['the environment', [], { FLANNELD_ETCD_PASSWORD: SECRET }],
])(
  'a password of etcd from %s is in no log and on no page, whether it is right or wrong',
  async (_, flags, environment) => {
    cluster = await Cluster.create(program, 1);
    const [node] = cluster.nodes as [Node];
    cluster.etcd.put(`${PREFIX}/config`, '{"Network":"10.5.0.0/16","Backend":{"Type":"udp"}}');
    cluster.etcd.etcdctl('user', 'add', `root:${SECRET}`);
    cluster.etcd.etcdctl('user', 'grant-role', 'root', 'root');
    cluster.etcd.etcdctl('auth', 'enable');
    const pages = () => (['healthz', 'readyz', 'metrics'] as const).map((page) => node.probe(page)).join('\n');
    node.start(['-etcd-username=root', '-v=4', ...flags], environment);
    await node.untilReady();
    expect(node.log.length).toBeGreaterThan(5);
    expect(node.text + pages()).not.toContain(SECRET);
    expect(await node.stop()).toMatchObject({ code: 0 });
    node.start(['-etcd-username=nobody', '-v=4', ...flags], environment);
    await until(() => node.probe('readyz').startsWith('503') && node.log.some(({ level }) => level >= 40));
    expect(node.text + pages()).not.toContain(SECRET);
  },
);
