/** Our plugin as the first of a chain with Debian's plugins, as runtimes do it: each gets the result of the one before. */
import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import {
  addresses,
  CniNode,
  type Conf,
  compilePlugin,
  DEBIAN_PLUGINS,
  eachOnFreshNode,
  inside,
  link,
  links,
  NOTHING,
  type Outcome,
  type Program,
  pings,
  sh,
  sysctl,
} from './support/cni-plugin.ts';

const PORTMAP = [`${DEBIAN_PLUGINS}/portmap`];

describe('a chain with portmap', () => {
  let program: Program;
  let node: CniNode;
  const servers: ChildProcess[] = [];
  beforeAll(() => {
    program = compilePlugin();
    node = new CniNode(program);
  });
  afterAll(() => {
    for (const server of servers) server.kill();
    node.destroy();
    rmSync(program.directory, { recursive: true, force: true });
  });

  const serve = async (netns: string): Promise<void> => {
    const script = 'require("http").createServer((q,r)=>r.end("pod")).listen(80,"0.0.0.0",()=>console.log("up"))';
    const server = spawn('nsenter', [`--net=/run/netns/${netns}`, process.execPath, '-e', script]);
    servers.push(server);
    await new Promise((resolve) => server.stdout.once('data', resolve));
  };
  const get = (netns: string, url: string): string => inside(netns, 'curl', '-s', '--max-time', '5', url);

  test('#51 the result passes on unchanged, the port is reached from outside, the node and the pod itself', async () => {
    const outside = node.addPod();
    inside(node.host, 'ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', outside);
    inside(node.host, 'ip', 'address', 'add', '192.0.2.1/24', 'dev', 'up0');
    inside(node.host, 'ip', 'link', 'set', 'up0', 'up');
    inside(outside, 'ip', 'address', 'add', '192.0.2.2/24', 'dev', 'eth0');
    inside(outside, 'ip', 'link', 'set', 'eth0', 'up');

    const pod = node.addPod();
    const prevResult = node.attach({ pod });
    const portMappings = [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }];
    const conf = { type: 'portmap', snat: true, capabilities: { portMappings: true }, runtimeConfig: { portMappings } };
    const chained = node.attach({ pod, conf: { ...conf, prevResult }, program: PORTMAP });
    // Debian's portmap is older than 1.1.0: it drops `mtu` and writes an empty `dns`.
    const known = JSON.parse(JSON.stringify(prevResult), (key, value) => (key === 'mtu' ? undefined : value));
    expect(chained).toEqual({ ...known, dns: {} });
    await serve(pod);
    expect(get(outside, 'http://192.0.2.1:8080/')).toBe('pod');
    expect(get(node.host, 'http://192.0.2.1:8080/')).toBe('pod');
    expect(get(pod, 'http://192.0.2.1:8080/')).toBe('pod');

    expect(node.run('CHECK', { pod, conf: { prevResult: chained } }).code).toBe(0);
    // DEL goes backwards, with the final result for everybody.
    expect(node.run('DEL', { pod, conf: { ...conf, prevResult: chained }, program: PORTMAP }).code).toBe(0);
    expect(node.del({ pod, conf: { prevResult: chained } }).code).toBe(0);
    expect(node.reserved()).toEqual([]);
    expect(sh('ip', '-n', node.host, '-o', 'link')).not.toContain('veth');
  });

  test('#51 our plugin ignores a previous result, as upstream does', () => {
    const pod = node.addPod();
    const prevResult = { cniVersion: '1.0.0', ips: [{ address: '192.0.2.77/24' }] };
    const result = node.attach({ pod, conf: { prevResult } });
    expect(result.ips[0].address).toMatch(/^10\.244\.1\./);
    expect(node.del({ pod, conf: { prevResult } }).code).toBe(0);
    expect(node.reserved()).toEqual([]);
  });
});

describe('a chain with', () => {
  let node: CniNode;
  let outside: string;
  let pod: string;
  eachOnFreshNode(compilePlugin, (fresh) => {
    node = fresh;
    node.writeEnv({ FLANNEL_IPV6_NETWORK: 'fd00:10::/48', FLANNEL_IPV6_SUBNET: 'fd00:10:0:1::1/64' });
    [outside, pod] = [node.addPod(), node.addPod()];
    inside(node.host, 'ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', outside);
    for (const [netns, name, end] of [
      [node.host, 'up0', 1],
      [outside, 'eth0', 2],
    ] as const) {
      inside(netns, 'ip', 'address', 'add', `192.0.2.${end}/24`, 'dev', name);
      inside(netns, 'ip', 'address', 'add', `2001:db8::${end}/64`, 'dev', name, 'nodad');
      inside(netns, 'ip', 'link', 'set', name, 'up');
    }
    inside(outside, 'ip', 'route', 'add', 'default', 'via', '192.0.2.1');
    inside(outside, 'ip', 'route', 'add', 'default', 'via', '2001:db8::1');
  });

  const program = ({ type }: Conf): readonly string[] => [`${DEBIAN_PLUGINS}/${type}`];
  /** What the whole chain answers. */
  const addAll = (chain: readonly Conf[], first: object): object =>
    chain.reduce<object>(
      (prevResult, conf) => node.attach({ pod, conf: { ...conf, prevResult }, program: program(conf) }),
      first,
    );
  const refused = ({ code, stdout, stderr }: Outcome): string[] => (code === 0 ? [] : [stdout + stderr]);
  const checkAll = (chain: readonly Conf[], prevResult: object): string[] => [
    ...refused(node.run('CHECK', { pod, conf: { prevResult } })),
    ...chain.flatMap((conf) =>
      refused(node.run('CHECK', { pod, conf: { ...conf, prevResult }, program: program(conf) })),
    ),
  ];
  /** Backwards, with the final result for everybody. */
  const delAll = (chain: readonly Conf[], prevResult: object): string[] => [
    ...chain
      .toReversed()
      .flatMap((conf) => refused(node.del({ pod, conf: { ...conf, prevResult }, program: program(conf) }))),
    ...refused(node.del({ pod, conf: { prevResult } })),
  ];

  /** Where a plugin of the chain may leave something. */
  const state = (): object => ({
    ...node.remains(),
    host: links(node.host).map(({ ifname }) => ifname),
    pod: links(pod).map(({ ifname }) => ifname),
    queues: inside(node.host, 'tc', 'qdisc'),
    routing: ['-4', '-6'].map((family) => [
      inside(pod, 'ip', family, 'rule'),
      inside(pod, 'ip', family, 'route', 'show', 'table', 'all'),
    ]),
    ruleset: inside(node.host, 'nft', '--stateless', 'list', 'ruleset'),
  });
  const own = (): string[] => addresses(pod, 'eth0').map((address) => address.split('/')[0]!);
  // -w: until one is answered.
  const reachesOutside = (): boolean[] =>
    own().map((from) => pings(pod, from.includes(':') ? '2001:db8::2' : '192.0.2.2', '-I', from, '-w', '30'));
  const EVERYWHERE = [true, true];

  const CHAIN = {
    bandwidth: {
      conf: { ingressRate: 8_000_000, ingressBurst: 80_000_000, egressRate: 16_000_000, egressBurst: 80_000_000 },
      works: () => {
        const queues: { kind: string; options: { rate?: number }; packets: number }[] = JSON.parse(
          inside(node.host, 'tc', '-s', '-j', 'qdisc'),
        );
        const limits = queues.filter(({ kind, packets }) => kind === 'tbf' && packets > 0);
        expect(limits.map(({ options }) => options.rate).sort()).toEqual([1_000_000, 2_000_000]);
      },
    },
    tuning: {
      conf: { sysctl: { 'net.ipv4.conf.eth0.log_martians': '1' }, mac: '02:00:00:00:00:77', mtu: 1400 },
      works: () => {
        expect(sysctl(pod, 'ipv4/conf/eth0/log_martians')).toBe('1');
        expect(link(pod, 'eth0')).toMatchObject({ address: '02:00:00:00:00:77', mtu: 1400 });
      },
    },
    firewall: {
      conf: { backend: 'iptables' },
      works: () => {
        const forward = (policy: string): void => {
          for (const iptables of ['iptables', 'ip6tables']) inside(node.host, iptables, '-P', 'FORWARD', policy);
        };
        forward('DROP');
        expect(reachesOutside()).toEqual(EVERYWHERE);
        const another = node.addPod();
        node.attach({ pod: another });
        for (const target of ['192.0.2.2', '2001:db8::2']) expect(pings(another, target)).toBe(false);
        forward('ACCEPT');
        for (const target of ['192.0.2.2', '2001:db8::2']) expect(pings(another, target, '-w', '30')).toBe(true);
        expect(node.del({ pod: another }).code).toBe(0);
      },
    },
    sbr: {
      conf: {},
      works: () => {
        for (const [family, from] of own().entries()) {
          const rule = inside(pod, 'ip', family === 0 ? '-4' : '-6', 'rule', 'show', 'from', from);
          expect(rule).toMatch(/lookup 10\d/);
        }
      },
    },
  };
  type Type = keyof typeof CHAIN;

  test.each<readonly [string, readonly Type[]]>([
    ['bandwidth', ['bandwidth']],
    ['tuning', ['tuning']],
    ['firewall', ['firewall']],
    ['sbr', ['sbr']],
    ['all of them', ['bandwidth', 'tuning', 'firewall', 'sbr']],
  ])('#51 %s: both families work, CHECK passes, and nothing is left after DEL', (_what, types) => {
    const chain = types.map((type) => ({ type, dataDir: node.file(type), ...CHAIN[type].conf }));
    // What lasts longer than a pod is there from then on: the bridge, chains of firewall.
    expect(delAll(chain, addAll(chain, node.attach({ pod })))).toEqual([]);
    const empty = state();
    expect(empty).toMatchObject(NOTHING);

    const ours = node.attach({ pod });
    const result = addAll(chain, ours);
    expect(result).toMatchObject({ ips: ours.ips, routes: ours.routes });
    expect(own()).toHaveLength(2);
    expect(reachesOutside()).toEqual(EVERYWHERE);
    expect(checkAll(chain, result)).toEqual([]);
    for (const type of types) CHAIN[type].works();
    expect(state()).not.toEqual(empty);
    inside(node.host, 'ip', 'link', 'set', 'cni0', 'down');
    expect(checkAll(chain, result)).toEqual([expect.stringContaining('bridge cni0 is down')]);
    inside(node.host, 'ip', 'link', 'set', 'cni0', 'up');
    expect(delAll(chain, result)).toEqual([]);
    expect(state()).toEqual(empty);
  });
});
