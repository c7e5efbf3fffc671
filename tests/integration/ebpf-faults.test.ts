/** What somebody else does to the devices, programs and names of the data path in the kernel is put right, or told, by the next look. */
import { execFileSync } from 'node:child_process';
import { rmSync, statSync } from 'node:fs';
import { linkInfo } from '@flannel-ts/bpf/info';
import { type BpfMap, createMap, type MapSpec } from '@flannel-ts/bpf/map';
import { openPinned } from '@flannel-ts/bpf/pin';
import { parseIp } from '@flannel-ts/inet/ip';
import { parsePort } from '@flannel-ts/inet/port';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import { closeFd } from '@flannel-ts/linux/files';
import { createNetns, deleteNetns, withNetns } from '@flannel-ts/linux/netns';
import { type Netlink, openNetlink } from '@flannel-ts/rtnetlink/connection';
import { KernelPath } from '../../daemon/src/datapath/ebpf/kernel-path.ts';
import { MAPS, type MapName } from '../../daemon/src/datapath/ebpf/layout.ts';
import { Tables } from '../../daemon/src/datapath/ebpf/tables.ts';

const netns = `/run/netns/fltest-${process.pid}-faults`;
const run = (...argv: string[]) => execFileSync('nsenter', [`--net=${netns}`, ...argv], { encoding: 'utf8' });
const ip = (...argv: string[]) => run('ip', ...argv);

function addExternal(): void {
  ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth1');
  ip('addr', 'add', '192.0.2.1/24', 'dev', 'eth0');
  for (const link of ['eth0', 'eth1']) ip('link', 'set', link, 'up');
}

const overlay = {
  listen: parseIp('192.0.2.1', 4),
  port: parsePort(8285),
  mtu: 1472,
  address: parseIp('10.1.1.0', 4),
};
const SETTINGS = {
  device: 'flannel0',
  overlay,
  filterPeers: true,
  sources: { first: 49152, count: 16384 },
  merging: true,
};

let nl: Netlink;
let folder: string;

const inside = (action: () => void) =>
  withNetns(netns, () => {
    action();
    return {};
  });

beforeEach(() => {
  createNetns(netns);
  folder = `/sys/fs/bpf/flannel/${statSync(netns).ino}-flannel0`;
  addExternal();
  ip('tuntap', 'add', 'flannel0', 'mode', 'tun');
  ip('addr', 'add', '10.1.1.0/32', 'dev', 'flannel0');
  ip('link', 'set', 'flannel0', 'up');
  inside(() => {
    nl = openNetlink();
  });
});
afterEach(() => {
  nl.close();
  deleteNetns(netns);
});

function withPath(links: boolean, use: (path: KernelPath) => void): void {
  inside(() => {
    const path = new KernelPath(nl, { ...SETTINGS, links }, []);
    try {
      expect(path.heal()).toBe(false);
      use(path);
      expect(path.heal()).toBe(false);
    } finally {
      path.remove();
    }
  });
}

const indexOf = (device: string) => Number.parseInt(ip('-o', 'link', 'show', device), 10);
/** The interface that the program of a name sees. */
function placeOf(name: string): number {
  const fd = openPinned(`${folder}/${name}`);
  if (fd === undefined) return 0;
  const { interfaceIndex } = linkInfo(fd);
  closeFd(fd);
  return interfaceIndex;
}

describe.each([
  ['links', true],
  ['filters, as before Linux 6.6', false],
])('with %s', (_, links) => {
  const receives = () =>
    links
      ? placeOf('receive') === indexOf('eth0')
      : run('tc', 'filter', 'show', 'dev', 'eth0', 'ingress').includes('fl_receive');

  test('the external interface is deleted, which is told, and made again', () => {
    withPath(links, (path) => {
      ip('link', 'del', 'eth0');
      expect(() => path.heal()).toThrow('No interface has the address 192.0.2.1');
      addExternal();
      expect(path.heal()).toBe(true);
      expect(receives()).toBe(true);
    });
  });

  test('the external interface gets another name, and another address', () => {
    withPath(links, (path) => {
      ip('link', 'set', 'eth0', 'name', 'wan0');
      expect(path.heal()).toBe(false);
      ip('link', 'set', 'wan0', 'name', 'eth0');
      ip('addr', 'add', '198.51.100.9/24', 'dev', 'eth0');
      ip('addr', 'del', '192.0.2.1/24', 'dev', 'eth0');
      expect(() => path.heal()).toThrow('No interface has the address 192.0.2.1');
      path.change({ overlay: { ...overlay, listen: parseIp('198.51.100.9', 4) } });
      expect(receives()).toBe(true);
    });
  });

  test('the address moves to another interface: the program goes with it', () => {
    withPath(links, (path) => {
      ip('link', 'add', 'eth5', 'type', 'veth', 'peer', 'name', 'eth6');
      ip('link', 'set', 'eth5', 'up');
      ip('addr', 'flush', 'dev', 'eth0');
      ip('addr', 'add', '192.0.2.1/24', 'dev', 'eth5');
      expect(path.heal()).toBe(true);
      expect(receives()).toBe(false);
    });
  });

  test.each([
    ['a device of the pair is set down', () => ip('link', 'set', 'flannel0-gro', 'down')],
    ['the pair is deleted', () => ip('link', 'del', 'flannel0-dec')],
    ['its names are removed', () => rmSync(folder, { recursive: true })],
  ])('%s', (_, harm) => {
    withPath(links, (path) => {
      harm();
      expect(path.heal()).toBe(true);
      expect(receives()).toBe(true);
      expect(ip('-o', 'link', 'show', 'up')).toMatch(/flannel0-gro[\s\S]*flannel0-dec|flannel0-dec[\s\S]*flannel0-gro/);
    });
  });
});

test('somebody takes the discipline of filters away', () => {
  withPath(false, (path) => {
    run('tc', 'qdisc', 'del', 'dev', 'eth0', 'clsact');
    expect(path.heal()).toBe(true);
  });
});

describe('maps that are full', () => {
  const ROOM = 4;
  let maps: Record<MapName, BpfMap>;
  beforeEach(() => {
    const small = (spec: MapSpec) => createMap({ ...spec, maxEntries: Math.min(ROOM, spec.maxEntries) });
    maps = Object.fromEntries(Object.entries(MAPS).map(([name, spec]) => [name, small(spec)])) as typeof maps;
  });
  afterEach(() => {
    for (const map of Object.values(maps)) map.close();
  });
  const peers = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => ({
      subnet: parsePrefix(`10.2.${from + i}.0/24`),
      peer: parseIp(`192.0.2.${from + i}`, 4),
    }));
  const known = () => [...maps.routes4.keys()].map((key) => key[6]!).sort();

  test('are told, keep what is right, and take the rest when there is room', () => {
    const tables = new Tables(maps, 1472);
    tables.begin(peers(1, 4));
    expect(tables.failure).toBeUndefined();
    const gone = peers(1, 2).map(({ subnet }) => subnet);
    expect(() => tables.change({ set: peers(4, 9), removed: gone })).toThrow();
    expect(tables.failure).toBeDefined();
    expect(known()).not.toContain(1);
    expect(known().every((each) => each >= 2 && each < 9)).toBe(true);
    expect(() => tables.change({ set: [], removed: peers(2, 3).map(({ subnet }) => subnet) })).toThrow();
    expect(known()).not.toContain(2);
    tables.change({ set: peers(20, 21), removed: peers(3, 7).map(({ subnet }) => subnet) });
    expect(tables.failure).toBeUndefined();
    expect(known()).toEqual([20, 7, 8]);
    expect([...maps.peers.keys()]).toHaveLength(3);
  });
});
