/** What a kernel backend wants of the kernel, on real devices of a namespace: made, kept, healed and taken away. */
import { RTPROT_FLANNEL } from '@flannel-ts/flannel/defaults';
import { parseIp } from '@flannel-ts/inet/ip';
import { parseMac } from '@flannel-ts/inet/mac';
import { parsePort } from '@flannel-ts/inet/port';
import { parseInterfaceAddress, parsePrefix } from '@flannel-ts/inet/prefix';
import { RTN_UNREACHABLE } from '@flannel-ts/rtnetlink/constants';
import { openMonitor } from '@flannel-ts/rtnetlink/monitor';
import { type Logger, pino } from 'pino';
import type { DesiredLink, DesiredState } from '../../daemon/src/state/desired.ts';
import { type KernelEvents, startKernelEvents } from '../../daemon/src/state/events.ts';
import { guardMetric } from '../../daemon/src/state/guard.ts';
import { Kernel } from '../../daemon/src/state/kernel.ts';
import type { Owner } from '../../daemon/src/state/owner.ts';
import { Reconciler } from '../../daemon/src/state/reconcile.ts';
import { type Lab, openLab } from './rtnetlink-lab.ts';

const network = parsePrefix('10.5.0.0/16');
const network6 = parsePrefix('fd00:5::/48');
const MAC = '0a:58:0a:05:01:00';
const MAC6 = '0a:58:0a:05:01:06';
const macOf = (n: number, family: 4 | 6 = 4) => parseMac(`0a:58:0${family}:00:${hex(n >> 8)}:${hex(n & 255)}`);
const hex = (n: number) => n.toString(16).padStart(2, '0');

const vxlan = { kind: 'vxlan', vni: 1, port: parsePort('8472'), parent: 'eth0', learning: false, gbp: false } as const;
const link4 = {
  ...vxlan,
  name: 'flannel.1',
  mac: parseMac(MAC),
  local: parseIp('10.0.0.1'),
  mtu: 1450,
  addresses: [parseInterfaceAddress('10.5.1.0/32')],
};
const link6 = {
  ...vxlan,
  name: 'flannel-v6.1',
  mac: parseMac(MAC6),
  local: parseIp('fd00:64::1'),
  mtu: 1430,
  addresses: [parseInterfaceAddress('fd00:5:0:1::/128')],
};

interface Peer {
  readonly n: number;
  readonly mac?: ReturnType<typeof parseMac>;
}

function desiredFor(peers: readonly Peer[], links: readonly DesiredLink[] = [link4, link6]): DesiredState {
  const each = peers.flatMap(({ n, mac }) => [
    {
      link: link4.name,
      dst: parsePrefix(`10.5.${n}.0/24`),
      mac: mac ?? macOf(n),
      remote: parseIp(`10.0.0.${n}`),
    },
    {
      link: link6.name,
      dst: parsePrefix(`fd00:5:0:${n.toString(16)}::/64`),
      mac: mac ?? macOf(n, 6),
      remote: parseIp(`fd00:64::${n.toString(16)}`),
    },
  ]);
  return {
    links,
    routes: [
      { type: 'unreachable', dst: network, metric: guardMetric(network) },
      { type: 'unreachable', dst: network6, metric: guardMetric(network6) },
      ...each.map(({ link, dst }) => ({ type: 'unicast', dst, link, gateway: dst.base, onlink: true }) as const),
    ],
    neighbours: each.map(({ link, dst, mac }) => ({ link, address: dst.base, mac })),
    fdb: each.map(({ link, mac, remote }) => ({ link, mac, remote })),
    complete: true,
  };
}

let lab: Lab;
let kernel: Kernel;
let desired: DesiredState;
let reconciler: Reconciler;
let failures: (string | undefined)[];
let lines: string[];
let log: Logger;
let events: KernelEvents;
let running: { stop: () => Promise<void> } | undefined;

beforeEach(() => {
  lab = openLab('state');
  lines = [];
  failures = [];
  log = pino({ base: null }, { write: (line: string) => void lines.push(JSON.parse(line).msg) });
  const owner = { networks: [network, network6] };
  kernel = new Kernel(lab.nl, owner, { netns: lab.netns });
  const groups = ['link', 'address', 'route', 'neighbour'] as const;
  const open = () => openMonitor({ netns: lab.netns, groups, exceptOf: lab.nl.portId });
  events = startKernelEvents(open, log);
  desired = desiredFor([{ n: 2 }, { n: 3 }]);
  reconciler = reconcilerOf(
    kernel,
    owner,
    () => desired,
    (listener) => events.subscribe(listener, kernel),
  );
  lab.run('ip', 'link', 'set', 'lo', 'up');
  addParent();
});

afterEach(async () => {
  await running?.stop();
  running = undefined;
  events.close();
  kernel.close();
  lab.close();
});

function reconcilerOf(
  of: Kernel,
  owner: Owner,
  wanted: () => DesiredState,
  onKernelEvent: (listener: () => void) => () => void = () => () => {},
): Reconciler {
  return new Reconciler(
    {
      kernel: of,
      owner,
      ownSubnets: [],
      onKernelEvent,
      makeLinks: () => Promise.reject(new Error('There is no data path')),
      desired: wanted,
      onPass: (failure) => void failures.push(failure),
      log,
    },
    // Never without an event.
    { fullMs: 2 ** 31 - 1, eventGapMs: 100 },
  );
}

function addParent(): void {
  addBridge('eth0');
  lab.run('ip', 'address', 'add', '10.0.0.1/24', 'dev', 'eth0');
  lab.run('ip', 'address', 'add', 'fd00:64::1/64', 'dev', 'eth0', 'nodad');
}

/** Without an address that the kernel checks for some time. */
function addBridge(name: string): void {
  lab.run('ip', 'link', 'add', name, 'type', 'bridge');
  lab.run('ip', 'link', 'set', name, 'addrgenmode', 'none');
  lab.run('ip', 'link', 'set', name, 'up');
}

async function run(): Promise<void> {
  const controller = new AbortController();
  const done = reconciler.run(controller.signal);
  running = {
    stop: async () => {
      controller.abort();
      await done;
    },
  };
  await until(() => failures.length > 0);
}

/** No event is left that could cause a pass. */
/** Until so long no pass comes. The kernel may have something to say of its own, but passes that follow from passes never end. */
async function untilQuiet(ms = 400): Promise<void> {
  // Its end is an event, too, a second or more after the device is up.
  await until(() => lab.ip('-6', 'address', 'show', 'tentative').every((link) => Object.keys(link).length === 0));
  const end = Date.now() + 15_000;
  for (let passes = -1; passes !== reconciler.statistics.passes; ) {
    if (Date.now() > end) throw new Error(`Not quiet after 15 s: ${passes} passes`);
    passes = reconciler.statistics.passes;
    await new Promise((resolve) => setTimeout(resolve, ms));
  }
}

async function until(condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 10_000; !condition(); ) {
    if (Date.now() > end) throw new Error(`Not so after 10 s: ${condition}; ${lines.slice(-5).join('; ')}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** In the order of their MAC addresses. */
function fdbOf(dev: string): { mac: string }[] {
  return lab.bridge<{ mac: string }>('fdb', 'show', 'dev', dev).sort((a, b) => a.mac.localeCompare(b.mac));
}

/** In the order of their addresses. */
function neighboursOf(dev: string): { dst: string }[] {
  return lab
    .ip<{ dst: string }>('neighbour', 'show', 'dev', dev, 'nud', 'permanent')
    .sort((a, b) => a.dst.localeCompare(b.dst));
}

interface ShownLink {
  readonly mtu: number;
  readonly address: string;
  readonly flags: readonly string[];
  readonly linkinfo: unknown;
  readonly master?: string;
  readonly inet6_addr_gen_mode: string;
}

interface ShownAddresses {
  readonly addr_info: readonly { readonly local: string; readonly prefixlen: number }[];
}

/** All that there is, by the witness: the same text for the same state. */
function shown(): string {
  const lines = ['flannel.1', 'flannel-v6.1'].flatMap((dev) => {
    const { mtu, address, flags, linkinfo, master, inet6_addr_gen_mode } = lab.ip<ShownLink>(
      'link',
      'show',
      'dev',
      dev,
    )[0]!;
    const { addr_info } = lab.ip<ShownAddresses>('address', 'show', 'dev', dev)[0]!;
    const addresses = addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen}`);
    return [
      JSON.stringify({ mtu, address, flags: [...flags].sort(), master, inet6_addr_gen_mode, addresses, linkinfo }),
      ...lab
        .bridge('fdb', 'show', 'dev', dev)
        .map((entry) => JSON.stringify(entry))
        .sort(),
      ...[4, 6].flatMap((family) =>
        lab
          .ip(`-${family}`, 'neighbour', 'show', 'dev', dev, 'nud', 'permanent')
          .map((entry) => JSON.stringify(entry))
          .sort(),
      ),
      ...[4, 6].flatMap((family) =>
        lab
          .ip(`-${family}`, 'route', 'show', 'dev', dev)
          .map((entry) => JSON.stringify(entry))
          .filter((text) => !text.includes('"kernel"')) // fd00:5:0:1::/128, which comes with the address
          .sort(),
      ),
    ];
  });
  return lines.join('\n');
}

describe('a pass', () => {
  test('makes devices, entries and routes as flannel has them, in both families', async () => {
    expect(await reconciler.pass()).toBeUndefined();
    expect(lab.ip('address', 'show', 'dev', 'flannel.1')).toMatchObject([
      {
        mtu: 1450,
        address: MAC,
        flags: expect.arrayContaining(['UP']),
        linkinfo: {
          info_kind: 'vxlan',
          info_data: { id: 1, link: 'eth0', local: '10.0.0.1', port: 8472, learning: false, udp_csum: true },
        },
        addr_info: [{ local: '10.5.1.0', prefixlen: 32, scope: 'global' }],
      },
    ]);
    expect(lab.ip('link', 'show', 'dev', 'flannel.1')).toMatchObject([{ inet6_addr_gen_mode: 'none' }]);
    expect(lab.ip('address', 'show', 'dev', 'flannel-v6.1')).toMatchObject([
      {
        mtu: 1430,
        address: MAC6,
        linkinfo: {
          info_data: {
            local6: 'fd00:64::1',
            udp_zero_csum6_tx: false,
            udp_zero_csum6_rx: false,
          },
        },
        addr_info: [{ local: 'fd00:5:0:1::', prefixlen: 128 }],
      },
    ]);
    // Not checked for duplicates first: it can be used at once.
    expect(JSON.stringify(lab.ip('address', 'show', 'dev', 'flannel-v6.1'))).not.toContain('tentative');
    expect(fdbOf('flannel.1')).toMatchObject([
      { mac: macOf(2), dst: '10.0.0.2', flags: ['self'], state: 'permanent' },
      { mac: macOf(3), dst: '10.0.0.3' },
    ]);
    expect(fdbOf('flannel-v6.1')).toMatchObject([
      { mac: macOf(2, 6), dst: 'fd00:64::2' },
      { mac: macOf(3, 6), dst: 'fd00:64::3' },
    ]);
    expect(neighboursOf('flannel.1')).toMatchObject([
      { dst: '10.5.2.0', lladdr: macOf(2), state: ['PERMANENT'] },
      { dst: '10.5.3.0', lladdr: macOf(3) },
    ]);
    expect(lab.ip('-4', 'route', 'show', 'dev', 'flannel.1')).toMatchObject([
      { dst: '10.5.2.0/24', gateway: '10.5.2.0', protocol: '241', flags: ['onlink'] },
      { dst: '10.5.3.0/24', gateway: '10.5.3.0' },
    ]);
    expect(lab.ip('-6', 'route', 'show', 'dev', 'flannel-v6.1', 'proto', '241')).toMatchObject([
      { dst: 'fd00:5:0:2::/64', gateway: 'fd00:5:0:2::', flags: ['onlink'] },
      { dst: 'fd00:5:0:3::/64', gateway: 'fd00:5:0:3::' },
    ]);
    for (const name of ['flannel.1', 'flannel-v6.1']) {
      lab.run('sh', '-c', `test "$(cat /proc/sys/net/ipv6/conf/${name}/accept_ra)" = 0`);
    }
  });

  test('has nothing to do after itself', async () => {
    await reconciler.pass();
    const { changes } = reconciler.statistics;
    expect(await reconciler.pass()).toBeUndefined();
    expect(reconciler.statistics.changes).toBe(changes);
  });

  test('removes the entries of peers that are gone, and leaves what the kernel has learned', async () => {
    await reconciler.pass();
    const learned = '0a:58:00:00:00:77';
    lab.run('bridge', 'fdb', 'add', learned, 'dev', 'flannel.1', 'dst', '10.0.0.77', 'self', 'dynamic');
    lab.run('ip', 'neighbour', 'add', '10.9.9.9', 'lladdr', learned, 'dev', 'flannel.1', 'nud', 'reachable');
    lab.run('bridge', 'fdb', 'add', '0a:58:00:00:00:78', 'dev', 'flannel.1', 'dst', '10.0.0.78', 'self', 'permanent');
    desired = desiredFor([{ n: 3 }]);
    expect(await reconciler.pass()).toBeUndefined();
    expect(fdbOf('flannel.1').map(({ mac }) => mac)).toEqual([learned, macOf(3)].sort());
    const neighbours = lab.ip('-4', 'neighbour', 'show', 'dev', 'flannel.1').map(({ dst }) => dst);
    expect(neighbours.sort()).toEqual(['10.5.3.0', '10.9.9.9']);
    expect(lab.ip('route', 'show', 'dev', 'flannel.1').map(({ dst }) => dst)).toEqual(['10.5.3.0/24']);
    expect(lab.ip('-6', 'route', 'show', 'dev', 'flannel-v6.1', 'proto', '241')).toHaveLength(1);
  });

  test('knows what the kernel tells of its own changes of entries, and of those of others', async () => {
    await reconciler.pass();
    using monitor = openMonitor({ netns: lab.netns, groups: ['neighbour'], exceptOf: lab.nl.portId });
    const told = () => monitor.drain().flatMap((event) => (event.type === 'fdb' ? [kernel.isEcho(event)] : []));
    desired = desiredFor([{ n: 3, mac: parseMac('0a:58:00:00:00:99') }, { n: 4 }]);
    expect(await reconciler.pass()).toBeUndefined();
    const ofOurs = told();
    expect(ofOurs.length).toBeGreaterThan(4);
    expect(ofOurs).not.toContain(false);
    lab.run('bridge', 'fdb', 'del', macOf(4), 'dev', 'flannel.1', 'dst', '10.0.0.4', 'self');
    expect(told()).toEqual([false]);
  });

  test('follows a peer to another MAC address', async () => {
    await reconciler.pass();
    const mac = parseMac('0a:58:00:00:00:99');
    desired = desiredFor([{ n: 2, mac }, { n: 3 }]);
    expect(await reconciler.pass()).toBeUndefined();
    expect(lab.bridge('fdb', 'show', 'dev', 'flannel.1')).toEqual(
      expect.arrayContaining([expect.objectContaining({ mac, dst: '10.0.0.2' })]),
    );
    expect(lab.bridge('fdb', 'show', 'dev', 'flannel.1')).toHaveLength(2);
    expect(lab.ip('neighbour', 'show', 'dev', 'flannel.1', 'to', '10.5.2.0')).toMatchObject([{ lladdr: mac }]);
  });

  test.each([
    ['VNI', { vni: 7 }],
    ['port', { port: parsePort('4789') }],
    ['local address', { local: parseIp('10.0.0.11') }],
    ['parent', { parent: 'eth1', local: parseIp('10.0.1.1') }],
    ['learning', { learning: true }],
    ['GBP', { gbp: true }],
  ])('remakes a device of another %s, with all that belongs to it', async (_, change) => {
    lab.run('ip', 'address', 'add', '10.0.0.11/24', 'dev', 'eth0');
    addBridge('eth1');
    lab.run('ip', 'address', 'add', '10.0.1.1/24', 'dev', 'eth1');
    const other = { ...link4, ...change };
    desired = desiredFor([{ n: 2 }, { n: 3 }], [other, link6]);
    await reconciler.pass();
    const before = shown();
    desired = desiredFor([{ n: 2 }, { n: 3 }]);
    expect(await reconciler.pass()).toBeUndefined();
    const right = shown();
    desired = desiredFor([{ n: 2 }, { n: 3 }], [other, link6]);
    expect(await reconciler.pass()).toBeUndefined();
    expect(shown()).toBe(before);
    expect(before).not.toBe(right);
    expect(lines.some((line) => line.includes('link delete and add flannel.1'))).toBe(true);
  });

  test.each([
    ['proxy', ['proxy']],
    ['external', ['external']],
    ['misses reported', ['l2miss', 'l3miss']],
    ['the TTL of inner packets', ['ttl', 'inherit']],
  ])('remakes a device that somebody has made with %s', async (_, words) => {
    await reconciler.pass();
    const before = shown();
    lab.run('ip', 'link', 'delete', 'flannel.1');
    const own = words.includes('external') ? [] : ['id', '1', 'local', '10.0.0.1', 'dev', 'eth0'];
    const type = ['type', 'vxlan', ...own, 'dstport', '8472', 'nolearning', ...words];
    lab.run('ip', 'link', 'add', 'flannel.1', 'address', MAC, 'mtu', '1450', ...type);
    expect(await reconciler.pass()).toBeUndefined();
    expect(shown()).toBe(before);
  });

  test('leaves a device that works when its new interface is not there', async () => {
    await reconciler.pass();
    const before = shown();
    desired = desiredFor([{ n: 2 }, { n: 3 }], [{ ...link4, parent: 'eth9' }, link6]);
    expect(await reconciler.pass()).toBe('Cannot make device flannel.1: its interface eth9 is gone');
    // What hangs on the device was not taken away either.
    expect(lab.ip('link', 'show', 'dev', 'flannel.1')).toHaveLength(1);
    desired = desiredFor([{ n: 2 }, { n: 3 }]);
    expect(await reconciler.pass()).toBeUndefined();
    expect(shown()).toBe(before);
  });

  test('gives nothing to a device of somebody else under the name, says how to remove it, and goes on with the rest', async () => {
    lab.run('ip', 'link', 'add', 'flannel.1', 'type', 'bridge');
    expect(await reconciler.pass()).toBe(
      'the device flannel.1 is not ours but a bridge device: remove it with "ip link delete flannel.1", or rename it with "ip link set flannel.1 name NAME"',
    );
    expect(lab.ip('address', 'show', 'dev', 'flannel.1')).toMatchObject([
      { linkinfo: { info_kind: 'bridge' }, addr_info: [] },
    ]);
    expect(lab.ip('-6', 'route', 'show', 'dev', 'flannel-v6.1', 'proto', '241')).toHaveLength(2);
    expect(lab.ip('-4', 'route', 'show', 'type', 'unreachable')).toHaveLength(1);
    lab.run('ip', 'link', 'delete', 'flannel.1');
    expect(await reconciler.pass()).toBeUndefined();
  });

  test('names the device that has the VNI, and goes on with the rest', async () => {
    lab.run('ip', 'link', 'add', 'theirs', 'type', 'vxlan', 'id', '1', 'dstport', '8472', 'dev', 'eth0');
    expect(await reconciler.pass()).toBe(
      'Cannot make device flannel.1: device theirs has VNI 1 and port 8472 already: remove it with "ip link delete theirs", or set another Backend.VNI',
    );
    expect(lab.ip('-6', 'route', 'show', 'dev', 'flannel-v6.1', 'proto', '241')).toHaveLength(2);
    expect(lab.ip('link', 'show', 'type', 'vxlan').map(({ ifname }) => ifname)).toEqual(['theirs', 'flannel-v6.1']);
    lab.run('ip', 'link', 'delete', 'theirs');
    expect(await reconciler.pass()).toBeUndefined();
  });

  test('says that the port is in use, and sets the device up as soon as it is free', async () => {
    lab.run('ip', 'link', 'add', 'theirs', 'type', 'vxlan', 'id', '9', 'dstport', '8472', 'dev', 'eth0', 'gbp');
    lab.run('ip', 'link', 'set', 'theirs', 'up');
    expect(await reconciler.pass()).toMatch(
      /^Cannot set up device flannel.1: its UDP port is in use: set another Backend.Port/,
    );
    lab.run('ip', 'link', 'delete', 'theirs');
    expect(await reconciler.pass()).toBeUndefined();
    expect(lab.ip('-4', 'route', 'show', 'dev', 'flannel.1')).toHaveLength(2);
  });

  test('takes over the device, entries and routes of flannel without touching the device', async () => {
    // As backend/vxlan/device.go and vxlan_network.go make them.
    const [dev, mac] = ['flannel.1', '0a:58:0a:05:01:77'];
    lab.run(
      ...['ip', 'link', 'add', dev, 'address', mac, 'mtu', '1450', 'type', 'vxlan', 'id', '1', 'dev', 'eth0'],
      ...['local', '10.0.0.1', 'dstport', '8472', 'nolearning'],
    );
    lab.run('ip', 'address', 'add', '10.5.1.0/32', 'dev', dev);
    lab.run('ip', 'link', 'set', dev, 'up');
    for (const n of [2, 4]) {
      lab.run('ip', 'neighbour', 'add', `10.5.${n}.0`, 'lladdr', macOf(n), 'dev', dev, 'nud', 'permanent');
      lab.run('bridge', 'fdb', 'add', macOf(n), 'dev', dev, 'dst', `10.0.0.${n}`, 'self', 'permanent');
      lab.run('ip', 'route', 'add', `10.5.${n}.0/24`, 'via', `10.5.${n}.0`, 'dev', dev, 'onlink');
    }
    const [{ ifindex }] = lab.ip<{ ifindex: number }>('link', 'show', 'dev', dev) as [{ ifindex: number }];
    desired = desiredFor([{ n: 2 }, { n: 3 }], [{ ...link4, mac: parseMac(mac) }, link6]);
    expect(await reconciler.pass()).toBeUndefined();
    expect(lab.ip('link', 'show', 'dev', dev)).toMatchObject([{ ifindex, address: mac }]);
    expect(lines).toContain('Changed the kernel: route replace 10.5.2.0/24 via 10.5.2.0 dev flannel.1 onlink');
    expect(lab.ip('-4', 'route', 'show', 'dev', dev)).toMatchObject([
      { dst: '10.5.2.0/24', protocol: '241' },
      { dst: '10.5.3.0/24', protocol: '241' },
    ]);
    expect(
      lab
        .bridge('fdb', 'show', 'dev', dev)
        .map((entry) => entry.mac)
        .sort(),
    ).toEqual([macOf(2), macOf(3)]);
  });

  test('changes from one backend to another without a moment at which a peer has no route', async () => {
    await reconciler.pass();
    const routes = [2, 3].map(
      (n) =>
        ({
          type: 'unicast',
          dst: parsePrefix(`10.5.${n}.0/24`),
          link: 'eth0',
          gateway: parseIp(`10.0.0.${n}`),
        }) as const,
    );
    let complete = false;
    const owner = { networks: [network, network6] };
    // As in the process that takes the place of the first one.
    const next = new Kernel(lab.nl, owner, { netns: lab.netns });
    const changed = reconcilerOf(next, owner, () => ({ links: [], routes, complete }));
    using monitor = openMonitor({ netns: lab.netns, groups: ['route'] });
    lab.run('ip', 'address', 'delete', '10.0.0.1/24', 'dev', 'eth0');
    expect(await changed.pass()).toContain('Cannot replace route 10.5.2.0/24 via 10.0.0.2');
    complete = true;
    expect(await changed.pass()).toContain('Cannot replace route 10.5.2.0/24 via 10.0.0.2');
    expect(lab.ip('link', 'show', 'type', 'vxlan')).toHaveLength(2);
    expect(lab.ip('-4', 'route', 'show', 'proto', '241', 'dev', 'flannel.1')).toHaveLength(2);
    lab.run('ip', 'address', 'add', '10.0.0.1/24', 'dev', 'eth0');
    expect(await changed.pass()).toBeUndefined();
    expect(lab.ip('link', 'show', 'type', 'vxlan')).toEqual([]);
    expect(lab.ip('-4', 'route', 'show', 'proto', '241', 'dev', 'eth0')).toHaveLength(2);
    const deletions = monitor
      .drain()
      .flatMap((event) => (event.type === 'route' && event.action === 'deleted' ? [event.route] : []))
      .filter(({ family, protocol }) => family === 4 && protocol === RTPROT_FLANNEL);
    expect(deletions.map(({ type }) => type)).toEqual([RTN_UNREACHABLE]);
  });
});

describe('after an event of the kernel', () => {
  const faults: readonly (readonly [string, ...string[][]])[] = [
    ['the IPv4 device is deleted', ['ip', 'link', 'delete', 'flannel.1']],
    ['the IPv6 device is deleted', ['ip', 'link', 'delete', 'flannel-v6.1']],
    [
      'the devices are set down',
      ['ip', 'link', 'set', 'flannel.1', 'down'],
      ['ip', 'link', 'set', 'flannel-v6.1', 'down'],
    ],
    ['a device is renamed', ['ip', 'link', 'set', 'flannel.1', 'name', 'other']],
    ['the MAC address is changed', ['ip', 'link', 'set', 'flannel.1', 'address', '0a:58:0a:05:01:99']],
    ['the MTU is changed', ['ip', 'link', 'set', 'flannel-v6.1', 'mtu', '1300']],
    ['ARP is turned off', ['ip', 'link', 'set', 'flannel.1', 'arp', 'off']],
    ['NDP is turned off', ['ip', 'link', 'set', 'flannel-v6.1', 'arp', 'off']],
    [
      'a device becomes a port of a bridge',
      ['ip', 'link', 'add', 'br0', 'type', 'bridge'],
      ['ip', 'link', 'set', 'flannel.1', 'master', 'br0'],
    ],
    [
      'the outer header is changed',
      ['ip', 'link', 'set', 'flannel.1', 'type', 'vxlan', 'ttl', '1', 'tos', '0x10', 'df', 'set'],
    ],
    ['learning is turned on', ['ip', 'link', 'set', 'flannel.1', 'type', 'vxlan', 'learning']],
    ['a default destination is set', ['ip', 'link', 'set', 'flannel.1', 'type', 'vxlan', 'remote', '10.0.0.9']],
    ['the addrgenmode is changed', ['ip', 'link', 'set', 'flannel.1', 'addrgenmode', 'eui64']],
    ['an IPv4 address is deleted', ['ip', 'address', 'flush', 'dev', 'flannel.1']],
    ['an IPv6 address is deleted', ['ip', 'address', 'flush', 'dev', 'flannel-v6.1']],
    ['an address is added', ['ip', 'address', 'add', '10.5.9.9/32', 'dev', 'flannel.1']],
    ['IPv4 neighbours are flushed', ['ip', '-4', 'neighbour', 'flush', 'dev', 'flannel.1', 'nud', 'permanent']],
    ['IPv6 neighbours are flushed', ['ip', '-6', 'neighbour', 'flush', 'dev', 'flannel-v6.1', 'nud', 'permanent']],
    [
      'a neighbour is changed',
      ['ip', 'neighbour', 'replace', '10.5.2.0', 'lladdr', MAC, 'dev', 'flannel.1', 'nud', 'permanent'],
    ],
    ['an FDB entry is deleted', ['bridge', 'fdb', 'delete', macOf(2), 'dev', 'flannel.1', 'self']],
    ['an IPv6 FDB entry is deleted', ['bridge', 'fdb', 'delete', macOf(3, 6), 'dev', 'flannel-v6.1', 'self']],
    [
      'an FDB entry is changed',
      ['bridge', 'fdb', 'replace', macOf(2), 'dev', 'flannel.1', 'dst', '10.0.0.66', 'self', 'permanent'],
    ],
    ['IPv4 routes are flushed', ['ip', '-4', 'route', 'flush', 'proto', '241']],
    ['IPv6 routes are flushed', ['ip', '-6', 'route', 'flush', 'proto', '241']],
    [
      'a route is replaced',
      ['ip', 'route', 'replace', '10.5.2.0/24', 'via', '10.5.3.0', 'dev', 'flannel.1', 'onlink', 'proto', '241'],
    ],
  ];

  test.each(faults)('all is as before when %s', async (_, ...commands) => {
    await run();
    await untilQuiet();
    const before = shown();
    for (const [command, ...rest] of commands) lab.run(command!, ...rest);
    expect(reconciler.statistics.failedPasses).toBe(0);
    const names = () => lab.ip('link', 'show', 'type', 'vxlan').map(({ ifname }) => ifname);
    await until(() => ['flannel.1', 'flannel-v6.1'].every((name) => names().includes(name)) && shown() === before);
  });

  test('the devices come back with their parent', async () => {
    await run();
    const before = shown();
    lab.run('ip', 'link', 'delete', 'eth0');
    await until(() => failures.includes('Cannot make device flannel.1: its interface eth0 is gone; and 1 more'));
    addParent();
    await until(() => lab.ip('link', 'show', 'type', 'vxlan').length === 2 && shown() === before);
  });

  test('no pass follows from passes: it is quiet after the start and after a repair', async () => {
    await run();
    await untilQuiet(1000);
    const { passes } = reconciler.statistics;
    lab.run('ip', 'link', 'delete', 'flannel.1');
    await until(() => reconciler.statistics.passes > passes);
    await untilQuiet();
    const { passes: repaired } = reconciler.statistics;
    expect(repaired - passes).toBeLessThanOrEqual(6);
    await untilQuiet(1000);
  });

  test('entries of other devices cause no pass', async () => {
    addBridge('cni0');
    await run();
    await untilQuiet();
    const { passes } = reconciler.statistics;
    for (let n = 2; n < 10; n++) {
      lab.run('ip', 'neighbour', 'add', `10.5.1.${n}`, 'lladdr', macOf(n), 'dev', 'cni0', 'nud', 'permanent');
      lab.run('bridge', 'fdb', 'add', macOf(n), 'dev', 'cni0', 'self', 'permanent');
    }
    lab.run('bridge', 'fdb', 'add', macOf(99), 'dev', 'flannel.1', 'dst', '10.0.0.99', 'self', 'dynamic');
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(reconciler.statistics.passes).toBe(passes);
    lab.run('ip', 'neighbour', 'add', '10.9.9.9', 'lladdr', macOf(9), 'dev', 'flannel.1', 'nud', 'permanent');
    await until(() => reconciler.statistics.passes > passes);
  });
});

test('of 5,000 peers a change of one is a handful of messages', async () => {
  const link = 'flannel.1';
  const of = (n: number, mac = macOf(n)) => ({
    route: {
      type: 'unicast',
      dst: parsePrefix(`10.${128 + (n >> 8)}.${n & 255}.0/24`),
      link,
      gateway: parseIp(`10.${128 + (n >> 8)}.${n & 255}.0`),
      onlink: true,
    } as const,
    neighbour: { link, address: parseIp(`10.${128 + (n >> 8)}.${n & 255}.0`), mac },
    fdb: { link, mac, remote: parseIp(`192.168.${n >> 8}.${n & 255}`) },
  });
  const stateOf = (peers: readonly ReturnType<typeof of>[]): DesiredState => ({
    links: [{ ...link4, addresses: [parseInterfaceAddress('10.127.0.0/32')] }],
    routes: peers.map(({ route }) => route),
    neighbours: peers.map(({ neighbour }) => neighbour),
    fdb: peers.map(({ fdb }) => fdb),
    complete: true,
  });
  const owner = { networks: [parsePrefix('10.0.0.0/8')] };
  const large = new Kernel(lab.nl, owner, { netns: lab.netns });
  const peers = Array.from({ length: 5000 }, (__, n) => of(n));
  desired = stateOf(peers);
  const wide = reconcilerOf(large, owner, () => desired);
  expect(await wide.pass()).toBeUndefined();
  expect(lab.bridge('fdb', 'show', 'dev', link)).toHaveLength(5000);
  expect(lab.ip('neighbour', 'show', 'dev', link, 'nud', 'permanent')).toHaveLength(5000);
  expect(lab.ip('route', 'show', 'dev', link)).toHaveLength(5000);
  expect(lines.length).toBeLessThan(30);
  const sent = jest.spyOn(lab.nl, 'requestAll');
  const asked = jest.spyOn(lab.nl, 'request');
  const { changes } = wide.statistics;
  desired = stateOf([...peers.slice(0, 4999), of(4999, parseMac('0a:58:ff:ff:ff:ff'))]);
  expect(await wide.pass()).toBeUndefined();
  expect(wide.statistics.changes - changes).toBe(3);
  expect(sent.mock.calls.flatMap(([requests]) => requests)).toHaveLength(3);
  expect(asked.mock.calls.length).toBeLessThan(20);
  large.close();
});
