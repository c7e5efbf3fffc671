/**
 * The plugin killed before each of its system calls that can change anything, in ADD and in DEL; then a DEL or a GC, as runtimes send
 * it. CI takes every few of them; with CNI_KILL_EVERY=1, all (docs/testing.md).
 */
import { readFileSync } from 'node:fs';
import { type CniNode, compilePlugin, eachOnFreshNode, inside, link, NOTHING } from './support/cni-plugin.ts';

const EVERY = Number(process.env.CNI_KILL_EVERY ?? 6);
/** What else the plugin calls reads, or concerns this process alone. */
const CALLS = 'openat,mkdir,linkat,unlink,rename,write,pwrite64,sendto,sendmsg,setns,flock,socket,ioctl,exit_group';

/** The k-th call of this name. */
type Boundary = readonly [name: string, k: number];

describe('the CNI plugin killed', () => {
  let node: CniNode;
  let pod: string;
  eachOnFreshNode(compilePlugin, (fresh) => {
    node = fresh;
    node.writeEnv({
      ...{ FLANNEL_IPMASQ: 'false', FLANNEL_IPV6_NETWORK: 'fd00:10::/48', FLANNEL_IPV6_SUBNET: 'fd00:10:0:1::1/64' },
    });
    pod = node.addPod();
    // The bridge and the table are there, as on a node in use; the other pod keeps what it has.
    node.attach({ pod: node.addPod(), id: 'other', conf });
  });
  const conf = { cniVersion: '1.1.0' };
  const others = { ports: 1, reserved: ['10.244.1.2', 'fd00:10:0:1::2'], scratch: ['other:eth0'] };

  /** Only the main thread is traced: the others are the runtime's. A node's resident process is not to answer: mounts of its own hide it. */
  const traced = (...options: string[]): string[] => {
    const alone = 'mkdir -p /run/flannel && mount -t tmpfs none /run/flannel && exec "$@"';
    return ['unshare', '--mount', 'sh', '-c', alone, 'sh', 'strace', ...options, ...node.program.command];
  };

  const boundariesOf = (command: string, id: string): Boundary[] => {
    const file = node.file('trace');
    const program = traced('-e', `trace=${CALLS}`, '-o', file);
    expect(node.run(command, { pod, id, conf, program }).code).toBe(0);
    const names = readFileSync(file, 'utf8')
      .split('\n')
      .flatMap((line): [string, string][] => {
        const [, name, args] = /^(\w+)\((.*)/.exec(line) ?? [];
        return name === undefined || args === undefined ? [] : [[name, args]];
      });
    // What comes before is Bun's start.
    const first = names.findIndex(([, args]) => args.includes(`/run/netns/${pod}`));
    expect(first).toBeGreaterThan(0);
    const counts = new Map<string, number>();
    return names
      .map(([name]): Boundary => {
        counts.set(name, (counts.get(name) ?? 0) + 1);
        return [name, counts.get(name)!];
      })
      .slice(first);
  };

  const masqueraded = (): number =>
    inside(node.host, 'nft', 'list', 'table', 'inet', 'flannel_cni').match(/comment/g)?.length ?? 0;

  const kill = (command: string, id: string, [name, k]: Boundary): void => {
    const program = traced('-o', '/dev/null', '-e', `inject=${name}:signal=KILL:when=${k}`);
    const outcome = node.run(command, { pod, id, conf, program });
    // strace ends as its child did.
    expect([name, k, outcome.code, outcome.stderr]).toEqual([name, k, -1, '']);
  };

  const expectNothingOf = (what: string): void => {
    expect([what, node.remains(), masqueraded(), link(pod, 'eth0')]).toEqual([what, others, 2, undefined]);
  };

  const collect = (id: string, byGc: boolean): void => {
    const valid = [{ containerID: 'other', ifname: 'eth0' }];
    const outcome = byGc
      ? node.run('GC', { pod, conf: { ...conf, 'cni.dev/valid-attachments': valid } })
      : node.del({ pod, id, conf });
    expect([outcome.code, outcome.stdout]).toEqual([0, '']);
  };

  test('#41 before any call of ADD, DEL or GC leaves nothing', () => {
    const boundaries = boundariesOf('ADD', 'whole');
    expect(node.del({ pod, id: 'whole', conf }).code).toBe(0);
    expect(boundaries.length).toBeGreaterThan(30);
    const taken = boundaries.filter((_boundary, i) => i % EVERY === 0);
    for (const [i, boundary] of taken.entries()) {
      kill('ADD', `add${i}`, boundary);
      collect(`add${i}`, i % 2 === 1);
      expectNothingOf(`ADD killed before ${boundary.join(' ')}`);
    }
  }, 600_000);

  test('#41 before any call of DEL, another DEL or GC leaves nothing', () => {
    node.attach({ pod, id: 'whole', conf });
    const boundaries = boundariesOf('DEL', 'whole');
    expect(boundaries.length).toBeGreaterThan(15);
    const taken = boundaries.filter((_boundary, i) => i % EVERY === 0);
    for (const [i, boundary] of taken.entries()) {
      node.attach({ pod, id: `del${i}`, conf });
      kill('DEL', `del${i}`, boundary);
      collect(`del${i}`, i % 2 === 1);
      expectNothingOf(`DEL killed before ${boundary.join(' ')}`);
    }
    collect('other', false);
    expect(node.remains()).toEqual(NOTHING);
  }, 600_000);
});
