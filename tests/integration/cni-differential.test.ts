/**
 * Generated configurations for our plugin and for Debian's bridge with host-local: the same answer, the same state of the pod, the same
 * address store, and the same nothing after DEL. What is refused is refused by both. CNI_RUNS and CNI_SEED
 * make others than CI's.
 */
import { readFileSync, rmSync } from 'node:fs';
import * as fc from 'fast-check';
import {
  addresses,
  CniNode,
  type Conf,
  compilePlugin,
  inside,
  link,
  type Program,
  routes,
} from './support/cni-plugin.ts';

const BRIDGE = ['/usr/lib/cni/bridge'];

interface Case {
  readonly cniVersion: string;
  readonly subnet: string;
  readonly ipv6: boolean;
  readonly isGateway: boolean;
  readonly isDefaultGateway: boolean;
  readonly hairpinMode: boolean;
  readonly mtu: number | undefined;
  readonly routes: readonly object[];
  readonly dns: object | undefined;
  readonly ip: string | undefined;
  readonly mac: string | undefined;
}

const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined, freq: 2 });
const lastByte = fc.integer({ min: 0, max: 40 });
const cases: fc.Arbitrary<Case> = fc.record({
  cniVersion: fc.constantFrom('0.3.1', '0.4.0', '1.0.0'),
  subnet: fc.constantFrom('10.9.1.0/24', '10.9.1.0/27', '10.9.1.0/30'),
  ipv6: fc.boolean(),
  isGateway: fc.boolean(),
  isDefaultGateway: fc.boolean(),
  hairpinMode: fc.boolean(),
  mtu: maybe(fc.constantFrom(1280, 1400, 1500, 9000)),
  routes: fc.subarray([{ dst: '192.0.2.0/24' }, { dst: '198.51.100.0/24', gw: '10.9.1.1' }, { dst: '2001:db8::/32' }]),
  dns: maybe(fc.constantFrom({ nameservers: ['10.0.0.10'] }, { domain: 'x', search: ['a', 'b'] })),
  ip: maybe(lastByte.map((byte) => `10.9.1.${byte}`)),
  mac: maybe(fc.constantFrom('02:00:00:00:00:05', '02:AB:00:00:00:05', 'nonsense')),
});

describe('generated configurations, beside Debian’s bridge and host-local', () => {
  let program: Program;
  const nodes: CniNode[] = [];
  beforeAll(() => {
    program = compilePlugin();
  });
  afterEach(() => {
    for (const node of nodes.splice(0)) node.destroy();
  });
  afterAll(() => rmSync(program.directory, { recursive: true, force: true }));

  const delegateOf = ({ isGateway, isDefaultGateway, hairpinMode, mtu, dns }: Case): Conf => ({
    ...{ bridge: 'br9', isGateway, isDefaultGateway, hairpinMode, ipMasq: false },
    // Ours would take the node's.
    ...{ mtu: mtu ?? 1500, ...(dns && { dns }) },
  });
  /** What flannel's plugin makes of its configuration and subnet.env. */
  const theirs = (wanted: Case, dataDir: string): Conf => ({
    ...{ type: 'bridge', ...delegateOf(wanted) },
    ipam: {
      ...{ type: 'host-local', dataDir },
      routes: [...wanted.routes, { dst: '10.9.0.0/16' }, ...(wanted.ipv6 ? [{ dst: 'fd09::/48' }] : [])],
      ranges: [[{ subnet: wanted.subnet }], ...(wanted.ipv6 ? [[{ subnet: 'fd09::/64' }]] : [])],
    },
  });
  const ours = (wanted: Case, node: CniNode): Conf => {
    node.writeEnv({
      ...{ FLANNEL_NETWORK: '10.9.0.0/16', FLANNEL_SUBNET: wanted.subnet.replace('.0/', '.1/') },
      ...(wanted.ipv6 && { FLANNEL_IPV6_NETWORK: 'fd09::/48', FLANNEL_IPV6_SUBNET: 'fd09::1/64' }),
    });
    return {
      ...{ type: 'flannel', subnetFile: node.file('subnet.env'), dataDir: node.file('flannel') },
      ...{ delegate: delegateOf(wanted), ipam: { dataDir: node.file('networks'), routes: wanted.routes } },
    };
  };

  /** As seen from outside; names and MAC addresses are each plugin's own. */
  const observe = (
    node: CniNode,
    pod: string,
    wanted: Case,
    run: (command: string) => ReturnType<CniNode['run']>,
  ): object => {
    const added = run('ADD');
    if (added.code !== 0) {
      // The reference plugin leaves its interface to the runtime's DEL.
      if (node.conf.type === 'bridge') run('DEL');
      return { refused: true, remains: [node.ports().length, node.reserved('n')] };
    }
    const { interfaces, ips, routes: told, dns } = added.json;
    const pad = link(pod, 'eth0');
    const state = {
      ips: ips.map(({ version, address, gateway, interface: index }: Record<string, unknown>) => [
        version,
        address,
        gateway,
        index,
      ]),
      routes: told,
      // From 1.0.0 on left out when it is empty; Debian's version is older.
      dns: dns ?? {},
      names: interfaces.map(({ name, sandbox }: { name: string; sandbox?: string }) => [
        name.startsWith('veth') ? 'veth' : name,
        sandbox !== undefined,
      ]),
      mac: wanted.mac === undefined ? undefined : interfaces[2].mac,
      addresses: addresses(pod, 'eth0').sort(),
      mtu: pad?.mtu,
      pod4: routes(pod),
      pod6: routes(pod, '-6'),
      bridge: addresses(node.host, 'br9').sort(),
      hairpin: /hairpin on/.test(inside(node.host, 'bridge', '-d', 'link', 'show')),
      store: node
        .reserved('n')
        .map((name) => [name, readFileSync(node.file('networks', 'n', name), 'utf8').replace(pod, 'POD')]),
      last: ['0', ...(wanted.ipv6 ? ['1'] : [])].map((set) => node.read('networks', 'n', `last_reserved_ip.${set}`)),
    };
    const removed = run('DEL');
    return { ...state, del: removed.code, after: [node.ports().length, node.reserved('n'), link(pod, 'eth0')] };
  };

  test('#55 the same answer, the same pod, the same store', () => {
    fc.assert(
      fc.property(cases, (wanted) => {
        const seen = [false, true].map((isTheirs) => {
          const node = new CniNode(program);
          nodes.push(node);
          const pod = node.addPod();
          const common = { name: 'n', cniVersion: wanted.cniVersion };
          const { ip, mac } = wanted;
          const args = ['IgnoreUnknown=1', ip && `IP=${ip}`, mac && `MAC=${mac}`].filter(Boolean).join(';');
          const env = args === '' ? {} : { CNI_ARGS: args };
          node.conf = { ...common, ...(isTheirs ? theirs(wanted, node.file('networks')) : ours(wanted, node)) };
          const call = { pod, env, ...(isTheirs ? { program: BRIDGE } : {}) };
          return observe(node, pod, wanted, (command) => node.run(command, call));
        });
        expect(seen[0]).toEqual(seen[1]);
        for (const node of nodes.splice(0)) node.destroy();
      }),
      { numRuns: Number(process.env.CNI_RUNS ?? 15), seed: Number(process.env.CNI_SEED ?? 16), endOnFailure: true },
    );
  }, 600_000);
});
