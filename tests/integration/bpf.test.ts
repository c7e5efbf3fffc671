import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import {
  add,
  at,
  call,
  jumpIf,
  label,
  load,
  mapPointer,
  mov,
  pointerTo,
  returns,
  store,
} from '@flannel-ts/bpf/assembler';
import { attachTc, attachXdp } from '@flannel-ts/bpf/attach';
import { VerifierError } from '@flannel-ts/bpf/errors';
import { BPF_SYSCALL, helperFeature, mapFeature, programFeature } from '@flannel-ts/bpf/features';
import { allIds, linkInfo, mapInfo, programInfo } from '@flannel-ts/bpf/info';
import { BpfMap, createMap, indexKey, lpmKey, type MapType, sumPerCpu } from '@flannel-ts/bpf/map';
import { BPFFS, ensureBpffs, isBpffs, openById, openPinned, pin, unpin } from '@flannel-ts/bpf/pin';
import { type BpfProgram, loadProgram } from '@flannel-ts/bpf/program';
import { stackSlots } from '@flannel-ts/bpf/stack';
import { closeFd } from '@flannel-ts/linux/files';
import { createNetns, deleteNetns, withNetns } from '@flannel-ts/linux/netns';
import { type Netlink, openNetlink } from '@flannel-ts/rtnetlink/connection';
import { countOn, countProtocols } from '../../packages/bpf/examples/count.ts';

const packet = (protocol: number) => {
  const bytes = new Uint8Array(60);
  bytes.set([0x08, 0x00, 0x45], 12);
  bytes[23] = protocol;
  return bytes;
};

const number = (value: number) => {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
};

describe('maps', () => {
  test.each<readonly [MapType, boolean]>([
    ['hash', false],
    ['lru-hash', false],
    ['per-cpu-hash', true],
  ])('a %s keeps entries, and says what is there and what is not', (type, perCpu) => {
    const map = createMap({ type, name: 'entries', keyBytes: 4, valueBytes: 8, maxEntries: 16 });
    try {
      expect(map.lookup(indexKey(1))).toBeUndefined();
      map.update(indexKey(1), number(5), 'new');
      expect(map.lookupPerCpu(indexKey(1))?.[0] ?? map.lookup(indexKey(1))).toEqual(number(5));
      expect(() => map.update(indexKey(1), number(6), 'new')).toThrow('File exists (EEXIST)');
      expect(() => map.update(indexKey(2), number(6), 'existing')).toThrow('ENOENT');
      if (perCpu) expect(new Set(map.lookupPerCpu(indexKey(1))!.map((value) => value[0]))).toEqual(new Set([5]));
      expect(map.delete(indexKey(1))).toBe(true);
      expect(map.delete(indexKey(1))).toBe(false);
    } finally {
      map.close();
    }
  });

  test.each<MapType>(['hash', 'lpm-trie'])('a %s is filled, read and emptied by many at once', (type) => {
    const map = createMap({ type, name: 'many', keyBytes: 8, valueBytes: 4, maxEntries: 10_000 });
    try {
      const keys = Array.from({ length: 9000 }, (_, i) => lpmKey(32, Uint8Array.of(10, 1, i >> 8, i & 255)));
      map.updateAll(keys.map((key, i) => [key, indexKey(i)]));
      const found = map.entries();
      expect(found).toHaveLength(9000);
      expect(new Set(found.map(([key]) => Buffer.from(key).toString('hex'))).size).toBe(9000);
      map.deleteAll(keys);
      expect([...map.keys()]).toEqual([]);
    } finally {
      map.close();
    }
  });

  test('a map that is full says so', () => {
    const map = createMap({ type: 'hash', name: 'small', keyBytes: 4, valueBytes: 4, maxEntries: 1 });
    try {
      map.update(indexKey(1), indexKey(1));
      expect(() => map.update(indexKey(2), indexKey(1))).toThrow(expect.objectContaining({ code: 'FULL' }));
      expect(() => map.update(new Uint8Array(3), indexKey(1))).toThrow('a key has 4 bytes, not 3');
      expect(() => map.update(indexKey(1), new Uint8Array(3))).toThrow('a value has 4 bytes, not 3');
    } finally {
      map.close();
    }
  });

  test('an LPM trie finds the longest prefix', () => {
    const map = createMap({ type: 'lpm-trie', name: 'routes', keyBytes: 8, valueBytes: 4, maxEntries: 8 });
    try {
      map.update(lpmKey(16, Uint8Array.of(10, 1, 0, 0)), indexKey(16));
      map.update(lpmKey(24, Uint8Array.of(10, 1, 2, 0)), indexKey(24));
      const find = (...address: number[]) => map.lookup(lpmKey(32, Uint8Array.from(address)))?.[0];
      expect([find(10, 1, 2, 3), find(10, 1, 3, 3), find(10, 2, 2, 3)]).toEqual([24, 16, undefined]);
    } finally {
      map.close();
    }
  });
});

describe('programs', () => {
  test('a program runs on a packet, and counts in a map', () => {
    const counters = createMap({
      type: 'per-cpu-array',
      name: 'counters',
      keyBytes: 4,
      valueBytes: 8,
      maxEntries: 256,
    });
    const program = loadProgram({ type: 'tc', name: 'count', code: countProtocols(14), maps: { counters } });
    try {
      expect(program.test(packet(17), { repeat: 3 })).toEqual({ result: -1, packet: packet(17) });
      program.test(packet(6));
      const count = (protocol: number) => sumPerCpu(counters.lookup(indexKey(protocol))!, 8)[0];
      expect([count(17), count(6), count(1)]).toEqual([3, 1, 0]);
      const info = programInfo(program.fd);
      expect(info).toMatchObject({ name: 'count', type: 3, mapIds: [mapInfo(counters.fd).id] });
      expect([...allIds('program')]).toContain(info.id);
      closeFd(openById('program', info.id));
    } finally {
      program.close();
      counters.close();
    }
  });

  test('a program changes a packet', () => {
    const code = [
      mov('r6', 'r1'),
      store('u32', stackSlots({ word: 4 }).word, 0x2a2a2a2a),
      mov('r1', 'r6'),
      mov('r2', 0),
      pointerTo('r3', stackSlots({ word: 4 }).word),
      mov('r4', 4),
      mov('r5', 0),
      call('skb_store_bytes'),
      returns(2),
    ];
    const program = loadProgram({ type: 'tc', name: 'mark', code });
    try {
      const { result, packet: changed } = program.test(packet(17));
      expect([result, ...changed.subarray(0, 5)]).toEqual([2, 42, 42, 42, 42, 0]);
    } finally {
      program.close();
    }
  });

  test('what the verifier rejects is named by its label', () => {
    const code = [label('parse'), load('u32', 'r2', at('r1', 76)), load('u8', 'r0', at('r2')), returns('r0')];
    const failed = (() => {
      try {
        loadProgram({ type: 'tc', name: 'careless', code }).close();
      } catch (error) {
        return error;
      }
    })();
    expect(failed).toBeInstanceOf(VerifierError);
    expect((failed as VerifierError).message).toBe(
      'The kernel rejects program careless at parse+1 (r0 = *(u8 *)(r2 +0)): R2 offset is outside of the packet',
    );
  });

  test('a helper that a type of program does not have is told from one that no kernel has', () => {
    expect(helperFeature('redirect_neigh', 'tc', '5.10').support).toEqual({ state: 'supported' });
    const absent = helperFeature('xdp_adjust_head', 'tc', '4.10');
    expect(absent.support).toMatchObject({ state: 'not supported' });
    expect(absent.describe()).toContain('helper bpf_xdp_adjust_head: not supported by Linux');
  });
});

describe('features', () => {
  test('this kernel has what the rest of these tests uses', () => {
    const used = [
      BPF_SYSCALL,
      programFeature('tc', '4.1'),
      programFeature('xdp', '4.8'),
      mapFeature('lpm-trie', '4.11'),
    ];
    expect(used.map(({ support }) => support.state)).toEqual(used.map(() => 'supported'));
  });
});

describe('at the packets of a device', () => {
  const name = `fltest-${process.pid}-bpf`;
  const netns = `/run/netns/${name}`;
  const pins = `${BPFFS}/${name}`;
  let nl: Netlink;
  let passing: BpfProgram;
  let dropping: BpfProgram;
  let counting: BpfProgram;
  let counters: BpfMap;

  const ip = (...args: string[]) => execFileSync('nsenter', [`--net=${netns}`, 'ip', ...args], { stdio: 'pipe' });
  const ping = (address: string) => {
    try {
      execFileSync('nsenter', [`--net=${netns}`, 'ping', '-c1', '-W1', '-q', address], { stdio: 'pipe' });
      return true;
    } catch {
      return false;
    }
  };

  beforeAll(() => {
    ensureBpffs();
    mkdirSync(pins);
    createNetns(netns);
    ip('link', 'set', 'lo', 'up');
    nl = openNetlink({ netns });
    counters = createMap({ type: 'array', name: 'counters', keyBytes: 4, valueBytes: 8, maxEntries: 1 });
    const slots = stackSlots({ key: 4 });
    const count = [
      store('u32', slots.key, 0),
      mapPointer('r1', 'counters'),
      pointerTo('r2', slots.key),
      call('map_lookup_elem'),
      jumpIf('r0', 'eq', 0, 'done'),
      load('u64', 'r1', at('r0')),
      add('r1', 1),
      store('u64', at('r0'), 'r1'),
      label('done'),
      returns(-1),
    ];
    passing = loadProgram({ type: 'tc', name: 'passing', code: returns(-1) });
    dropping = loadProgram({ type: 'tc', name: 'dropping', code: returns(2) });
    counting = loadProgram({ type: 'tc', name: 'counting', code: count, maps: { counters } });
  });

  afterAll(() => {
    for (const each of [passing, dropping, counting, counters, nl]) each?.close();
    deleteNetns(netns);
    rmSync(pins, { recursive: true, force: true });
  });

  const LO = 1;

  test.each([
    ['a link', true, 'tcx'],
    ['a filter', false, 'clsact'],
  ])('%s lets packets meet the program, is replaced in one step, and detached', (_, links, kind) => {
    const attachment = withNetns(netns, () =>
      attachTc(nl, { interfaceIndex: LO, direction: 'ingress', priority: 7 }, counting, { links }),
    );
    expect(attachment.kind).toBe(kind);
    expect([attachment.holds(counting), attachment.holds(dropping)]).toEqual([true, false]);
    const before = counters.lookup(indexKey(0))![0]!;
    expect(ping('127.0.0.1')).toBe(true);
    expect(counters.lookup(indexKey(0))![0]!).toBeGreaterThan(before);
    attachment.replace(dropping);
    expect([attachment.holds(counting), attachment.holds(dropping)]).toEqual([false, true]);
    expect(ping('127.0.0.1')).toBe(false);
    attachment.detach();
    expect(ping('127.0.0.1')).toBe(true);
  });

  test('a link that is pinned is found again, and is another one on another device', () => {
    const pinned = `${pins}/link`;
    ip('link', 'add', 'bridge1', 'type', 'bridge');
    ip('link', 'add', 'bridge2', 'type', 'bridge');
    const indexOf = (device: string) => Number.parseInt(ip('-o', 'link', 'show', device).toString(), 10);
    const place = (device: string) =>
      ({ interfaceIndex: indexOf(device), direction: 'egress', pinned, priority: 7 }) as const;
    const first = withNetns(netns, () => attachTc(nl, place('bridge1'), passing));
    first.close();
    const again = withNetns(netns, () => attachTc(nl, place('bridge1'), counting));
    expect(again.holds(counting)).toBe(true);
    ip('link', 'del', 'bridge1');
    expect(again.holds(counting)).toBe(false);
    again.close();
    const other = withNetns(netns, () => attachTc(nl, place('bridge2'), counting));
    expect(linkInfo(openAndClose(pinned)).interfaceIndex).toBe(indexOf('bridge2'));
    other.detach();
    expect(openPinned(pinned)).toBeUndefined();
  });

  test('a map keeps its entries under its name', () => {
    const path = `${pins}/map`;
    const map = createMap({ type: 'hash', name: 'kept', keyBytes: 4, valueBytes: 4, maxEntries: 4 });
    map.update(indexKey(3), indexKey(9));
    pin(map, path);
    expect(() => pin(map, path)).toThrow('EEXIST');
    map.close();
    const fd = openPinned(path)!;
    const again = new BpfMap(fd, mapInfo(fd).spec);
    expect(again.spec).toMatchObject({ type: 'hash', name: 'kept', keyBytes: 4, valueBytes: 4, maxEntries: 4 });
    expect(again.entries()).toEqual([[indexKey(3), indexKey(9)]]);
    unpin(path);
    again.close();
    expect(openPinned(path)).toBeUndefined();
    expect(() => pin(counters, '/tmp/no-bpffs')).toThrow(expect.objectContaining({ code: 'NO_BPFFS' }));
    expect([isBpffs(BPFFS), isBpffs('/tmp'), isBpffs('/nowhere')]).toEqual([true, false, false]);
  });

  test('a program of XDP drops what arrives', () => {
    const program = loadProgram({ type: 'xdp', name: 'drop', code: returns(1) });
    try {
      const attachment = withNetns(netns, () => attachXdp(LO, program, 'generic'));
      expect(ping('127.0.0.1')).toBe(false);
      attachment.detach();
      expect(ping('127.0.0.1')).toBe(true);
    } finally {
      program.close();
    }
  });

  test('the example of the README counts', () => {
    const running = withNetns(netns, () => countOn('lo'));
    try {
      expect(ping('127.0.0.1')).toBe(true);
      expect(running.count(1)).toBeGreaterThanOrEqual(2);
      expect(running.count(17)).toBe(0);
    } finally {
      running.close();
    }
  });

  /** A number that stays valid for the question that follows. */
  function openAndClose(path: string): number {
    const fd = openPinned(path)!;
    queueMicrotask(() => closeFd(fd));
    return fd;
  }
});
