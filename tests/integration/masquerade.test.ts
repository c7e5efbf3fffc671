/**
 * A node with two pods, a pod of another node behind a link that stands for the overlay, and a host outside:
 *
 *   pod 10.244.1.2 --\                        /-- "overlay" -- remote pod 10.244.2.2
 *   pod 10.244.1.3 ---- node (10.244.1.0) ----
 *                                             \-- underlay --- outside 192.0.2.2 (node: 192.0.2.1)
 *
 * and the same in IPv6. Everybody serves a page that says who asks, so each test sees what the other end sees.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { applyRuleset, deleteTable } from '@flannel-ts/nft/apply';
import { listTable } from '@flannel-ts/nft/list';
import { ensureRules, removeRules } from '../../daemon/src/firewall/apply.ts';
import { desiredTables, networksOf, type Overlay, ownTable } from '../../daemon/src/firewall/rules.ts';

const run = promisify(execFile);
const PREFIX = `fltest-${process.pid}-mq`;
const NODES = ['node', 'pod', 'pod2', 'remote', 'outside'] as const;
type NodeName = (typeof NODES)[number];
const PORT = 8080;

const ADDRESSES = {
  4: {
    pod: '10.244.1.2',
    pod2: '10.244.1.3',
    remote: '10.244.2.2',
    outside: '192.0.2.2',
    nodeOutside: '192.0.2.1',
    nodeOverlay: '10.244.1.0',
  },
  6: {
    pod: 'fd00:0:0:1::2',
    pod2: 'fd00:0:0:1::3',
    remote: 'fd00:0:0:2::2',
    outside: '2001:db8::2',
    nodeOutside: '2001:db8::1',
    nodeOverlay: 'fd00:0:0:1::',
  },
} as const;
type Family = keyof typeof ADDRESSES;

const OVERLAY: Overlay = {
  4: { network: '10.244.0.0/16', subnet: '10.244.1.0/24' },
  6: { network: 'fd00::/48', subnet: 'fd00:0:0:1::/64' },
};
const IPV4_TABLE = ownTable('10.244.0.0/16').name;
const ALL = { masquerade: true, forward: true, fullyRandom: true };

const netnsOf = (name: NodeName) => `/run/netns/${PREFIX}-${name}`;
const netns = netnsOf('node');
const ip = (name: NodeName, ...args: string[]) => execFileSync('ip', ['-n', `${PREFIX}-${name}`, ...args]);

const servers: ChildProcess[] = [];

const SERVER = `
  const server = require('node:http').createServer((request, response) => response.end(request.socket.remoteAddress));
  server.listen(${PORT}, '::', () => process.stdout.write('ready'));
`;

/** A link between the node and `name`, with host routes: no neighbour is reached but through the node. */
function connect(name: Exclude<NodeName, 'node'>): void {
  ip('node', 'link', 'add', `to-${name}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', `${PREFIX}-${name}`);
  ip('node', 'link', 'set', `to-${name}`, 'up');
  ip(name, 'link', 'set', 'lo', 'up');
  ip(name, 'link', 'set', 'eth0', 'up');
  for (const family of [4, 6] as const) {
    const full = family === 4 ? 32 : 128;
    const addresses = ADDRESSES[family];
    const own = name === 'outside' ? addresses.nodeOutside : addresses.nodeOverlay;
    ip(
      'node',
      `-${family}`,
      'address',
      'add',
      `${own}/${full}`,
      'dev',
      `to-${name}`,
      ...(family === 6 ? ['nodad'] : []),
    );
    ip('node', `-${family}`, 'route', 'add', `${addresses[name]}/${full}`, 'dev', `to-${name}`, 'src', own);
    ip(
      name,
      `-${family}`,
      'address',
      'add',
      `${addresses[name]}/${full}`,
      'dev',
      'eth0',
      ...(family === 6 ? ['nodad'] : []),
    );
    ip(name, `-${family}`, 'route', 'add', `${own}/${full}`, 'dev', 'eth0');
    ip(name, `-${family}`, 'route', 'add', 'default', 'via', own, 'dev', 'eth0', 'onlink');
  }
}

async function serve(name: NodeName): Promise<void> {
  const child = spawn('nsenter', [`--net=${netnsOf(name)}`, process.execPath, '-e', SERVER], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  servers.push(child);
  await once(child.stdout!, 'data');
}

/** Who `to` believes to be asked by, when `from` asks. */
async function seenBy(to: NodeName & keyof (typeof ADDRESSES)[4], from: NodeName, family: Family): Promise<string> {
  const host = family === 4 ? ADDRESSES[4][to] : `[${ADDRESSES[6][to]}]`;
  const curl = ['curl', '--silent', '--show-error', '--max-time', '5', '--noproxy', '*', `http://${host}:${PORT}/`];
  const { stdout } = await run('nsenter', [`--net=${netnsOf(from)}`, ...curl]);
  return stdout.replace(/^::ffff:/, '');
}

beforeAll(async () => {
  for (const name of NODES) execFileSync('ip', ['netns', 'add', `${PREFIX}-${name}`]);
  const forward = ['net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1', 'net.ipv4.conf.all.rp_filter=0'];
  execFileSync('nsenter', [`--net=${netns}`, 'sysctl', '-q', '-w', ...forward, 'net.ipv4.conf.default.rp_filter=0']);
  ip('node', 'link', 'set', 'lo', 'up');
  const others = ['pod', 'pod2', 'remote', 'outside'] as const;
  for (const name of others) connect(name);
  await Promise.all(others.map(serve));
}, 60_000);

afterAll(() => {
  for (const server of servers) server.kill('SIGKILL');
  for (const name of NODES) {
    try {
      execFileSync('ip', ['netns', 'del', `${PREFIX}-${name}`], { stdio: 'ignore' });
    } catch {
      // It was not made.
    }
  }
});

afterEach(async () => {
  await removeRules(networksOf(OVERLAY), { netns });
});

describe.each([4, 6] as const)('masquerading of IPv%d', (family) => {
  const addresses = ADDRESSES[family];

  test('without rules everybody is seen with the own address', async () => {
    expect(await seenBy('outside', 'pod', family)).toBe(addresses.pod);
    expect(await seenBy('remote', 'outside', family)).toBe(addresses.outside);
  });

  test('a pod is seen outside with the address of its node', async () => {
    await ensureRules(OVERLAY, ALL, { netns });
    expect(await seenBy('outside', 'pod', family)).toBe(addresses.nodeOutside);
  });

  test('a pod is seen by a pod of another node with its own address, both ways', async () => {
    await ensureRules(OVERLAY, ALL, { netns });
    expect(await seenBy('remote', 'pod', family)).toBe(addresses.pod);
    expect(await seenBy('pod', 'remote', family)).toBe(addresses.remote);
  });

  test('a pod is seen by a pod of its own node with its own address', async () => {
    await ensureRules(OVERLAY, ALL, { netns });
    expect(await seenBy('pod2', 'pod', family)).toBe(addresses.pod);
  });

  test('a client outside is seen by a pod with its own address', async () => {
    await ensureRules(OVERLAY, ALL, { netns });
    expect(await seenBy('pod', 'outside', family)).toBe(addresses.outside);
  });

  // The rule that flannel's nftables version never reaches.
  test('a client outside is seen by a pod of another node with the address of this node', async () => {
    await ensureRules(OVERLAY, ALL, { netns });
    expect(await seenBy('remote', 'outside', family)).toBe(addresses.nodeOverlay);
  });

  test.each([0x4000, 0x4001])('what kube-proxy has marked with %d is left to it', async (mark) => {
    await ensureRules(OVERLAY, ALL, { netns });
    const chain = 'type filter hook prerouting priority -150; policy accept;';
    await applyRuleset(`table inet fltest { chain c { ${chain} meta mark set ${mark}; }; }\n`, { netns });
    try {
      expect(await seenBy('outside', 'pod', family)).toBe(addresses.pod);
    } finally {
      await deleteTable('inet', 'fltest', { netns });
    }
  });

  test('without fully random ports it is masqueraded as well', async () => {
    await ensureRules(OVERLAY, { ...ALL, fullyRandom: false }, { netns });
    expect(await seenBy('outside', 'pod', family)).toBe(addresses.nodeOutside);
  });

  test('rules that were deleted are there again after ensureRules()', async () => {
    await ensureRules(OVERLAY, ALL, { netns });
    await removeRules(networksOf(OVERLAY), { netns });
    expect(await seenBy('outside', 'pod', family)).toBe(addresses.pod);
    expect(await ensureRules(OVERLAY, ALL, { netns })).toBe(true);
    expect(await seenBy('outside', 'pod', family)).toBe(addresses.nodeOutside);
  });
});

describe('masquerade', () => {
  const chains = async () => (await listTable('ip', IPV4_TABLE, { netns }))?.chains.map((chain) => chain.name).sort();

  test('ensureRules() finds nothing to do the second time', async () => {
    expect(await ensureRules(OVERLAY, ALL, { netns })).toBe(true);
    expect(await ensureRules(OVERLAY, ALL, { netns })).toBe(false);
    expect(await listTable('ip', IPV4_TABLE, { netns })).toEqual(desiredTables(OVERLAY, ALL)[0]);
  });

  test('ensureRules() removes what is not wanted any more', async () => {
    await ensureRules(OVERLAY, ALL, { netns });
    expect(await ensureRules(OVERLAY, { ...ALL, forward: false }, { netns })).toBe(true);
    expect(await chains()).toEqual(['postrtg']);
    expect(await ensureRules({ 6: OVERLAY[6]! }, ALL, { netns, previous: networksOf(OVERLAY) })).toBe(true);
    expect(await chains()).toBeUndefined();
  });

  test('ensureRules() follows another subnet', async () => {
    await ensureRules(OVERLAY, ALL, { netns });
    const moved = { 4: { network: '10.244.0.0/16', subnet: '10.244.9.0/24' } };
    expect(await ensureRules(moved, ALL, { netns })).toBe(true);
    expect(await listTable('ip', IPV4_TABLE, { netns })).toEqual(desiredTables(moved, ALL)[0]);
  });

  test('ensureRules() leaves the rules of another network alone, and removes those of a former one', async () => {
    const other = { 4: { network: '10.99.0.0/16', subnet: '10.99.1.0/24' } };
    await ensureRules(other, ALL, { netns });
    await ensureRules(OVERLAY, ALL, { netns });
    expect(await ensureRules(OVERLAY, ALL, { netns })).toBe(false);
    const { family, name } = ownTable('10.99.0.0/16');
    expect(await listTable(family, name, { netns })).toEqual(desiredTables(other, ALL)[0]);
    expect(await ensureRules(OVERLAY, ALL, { netns, previous: ['10.99.0.0/16'] })).toBe(true);
    expect(await listTable(family, name, { netns })).toBeUndefined();
  });

  test('removeRules() leaves nothing, and is fine with nothing', async () => {
    await ensureRules(OVERLAY, ALL, { netns });
    await removeRules(networksOf(OVERLAY), { netns });
    await removeRules(networksOf(OVERLAY), { netns });
    expect(execFileSync('nsenter', [`--net=${netns}`, 'nft', 'list', 'ruleset'], { encoding: 'utf8' })).toBe('');
  });
});
