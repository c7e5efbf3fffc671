/** What the data path in the kernel leaves when nobody runs it, and who removes it. */
import { execFileSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { parseIp } from '@flannel-ts/inet/ip';
import { parsePort } from '@flannel-ts/inet/port';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import { createNetns, deleteNetns, withNetns } from '@flannel-ts/linux/netns';
import { type Netlink, openNetlink } from '@flannel-ts/rtnetlink/connection';
import { KernelPath } from '../../daemon/src/datapath/ebpf/kernel-path.ts';
import { leftPrograms, removeAbandoned, removePrograms } from '../../daemon/src/datapath/ebpf/left.ts';

const paths = [1, 2].map((n) => `/run/netns/fltest-${process.pid}-left-${n}`);
const NETWORK = parsePrefix('10.1.0.0/16');

const run = (netns: string, ...argv: string[]) =>
  execFileSync('nsenter', [`--net=${netns}`, ...argv], { encoding: 'utf8' });

beforeEach(() => {
  for (const netns of paths) {
    createNetns(netns);
    const ip = (...args: string[]) => run(netns, 'ip', ...args);
    ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth1');
    ip('addr', 'add', '192.0.2.1/24', 'dev', 'eth0');
    for (const link of ['eth0', 'eth1']) ip('link', 'set', link, 'up');
    for (const [n, device] of ['flannel0', 'flannel1'].entries()) {
      ip('tuntap', 'add', device, 'mode', 'tun');
      ip('addr', 'add', `10.${n + 1}.1.0/32`, 'dev', device);
      ip('link', 'set', device, 'up');
    }
  }
});
afterEach(() => {
  for (const netns of paths) {
    if (!existsSync(netns)) continue;
    inside(netns, (nl) => leftPrograms(nl, undefined).forEach((device) => void removePrograms(nl, device)));
    deleteNetns(netns);
  }
});

function inside(netns: string, action: (nl: Netlink) => void): void {
  withNetns(netns, () => {
    const nl = openNetlink();
    try {
      action(nl);
    } finally {
      nl.close();
    }
    return {};
  });
}

/** As a process does that ends. */
function leave(netns: string, n: number, links = true): void {
  inside(netns, (nl) => {
    const overlay = {
      listen: parseIp('192.0.2.1', 4),
      port: parsePort(8285 + n),
      mtu: 1472,
      address: parseIp(`10.${n + 1}.1.0`, 4),
    };
    const settings = { device: `flannel${n}`, overlay, filterPeers: true, sources: { first: 49152, count: 16384 } };
    new KernelPath(nl, { ...settings, merging: true, links }, []).close();
  });
}

const folder = (netns: string, n: number) => `/sys/fs/bpf/flannel/${statSync(netns).ino}-flannel${n}`;
const links = (netns: string) => run(netns, 'ip', '-o', 'link');
const filters = (netns: string, device: string, direction: string) =>
  run(netns, 'tc', 'filter', 'show', 'dev', device, direction);

test('names of a network namespace that has ended are removed by the next data path of the host', () => {
  const [ended, other] = paths as [string, string];
  leave(ended, 0);
  leave(other, 1);
  const left = folder(ended, 0);
  expect(existsSync(`${left}/send`)).toBe(true);
  deleteNetns(ended);
  const hasGone = (): boolean => {
    leave(other, 0);
    return !existsSync(left);
  };
  // The kernel takes its devices away a little later.
  const end = Date.now() + 30_000;
  while (!hasGone() && Date.now() < end) execFileSync('sleep', ['0.1']);
  expect(existsSync(left)).toBe(false);
  expect([existsSync(`${folder(other, 0)}/send`), existsSync(`${folder(other, 1)}/send`)]).toEqual([true, true]);
});

test.each([
  ['links', true],
  ['filters, as before Linux 6.6', false],
])('two networks have their own %s, and one is removed without the other', (_, areLinks) => {
  const [netns] = paths as [string];
  leave(netns, 0, areLinks);
  leave(netns, 1, areLinks);
  if (!areLinks) expect(filters(netns, 'eth0', 'ingress').match(/handle \S+ fl_receive/g)).toHaveLength(2);
  inside(netns, (nl) => {
    expect(leftPrograms(nl, [NETWORK])).toEqual(['flannel0']);
    expect(removePrograms(nl, 'flannel0')).toBe(true);
    expect(removePrograms(nl, 'flannel0')).toBe(false);
  });
  expect(existsSync(folder(netns, 0))).toBe(false);
  expect(existsSync(folder(netns, 1))).toBe(true);
  expect(links(netns)).not.toContain('flannel0-dec');
  expect(links(netns)).toContain('flannel1-dec');
  if (areLinks) return;
  expect(filters(netns, 'eth0', 'ingress').match(/handle \S+ fl_receive/g)).toHaveLength(1);
  expect(filters(netns, 'flannel0', 'egress')).toBe('');
  expect(filters(netns, 'flannel1', 'egress')).toContain('fl_send');
});

test('what no process uses goes with its device, and only in its own network', () => {
  const [netns] = paths as [string];
  leave(netns, 0);
  leave(netns, 1);
  inside(netns, (nl) => {
    expect(removeAbandoned(nl, [NETWORK])).toEqual(['flannel0']);
    expect(removeAbandoned(nl, [NETWORK])).toEqual([]);
  });
  expect(links(netns)).not.toContain('flannel0');
  expect(links(netns)).toMatch(/flannel1:[\s\S]*flannel1-gro|flannel1-gro[\s\S]*flannel1:/);
  // A device that somebody took away leaves names that nobody else can be meant by.
  run(netns, 'ip', 'link', 'del', 'flannel1');
  inside(netns, (nl) => expect(removeAbandoned(nl, [NETWORK])).toEqual(['flannel1']));
  expect(existsSync(folder(netns, 1))).toBe(false);
});
