import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { closeFd } from '@flannel-ts/linux/files';
import * as layouts from '@flannel-ts/linux/layouts';
import { addressOf } from '@flannel-ts/linux/memory';
import { createNetns, deleteNetns, isNetns, netnsExists, sameNetns, withNetns } from '@flannel-ts/linux/netns';
import { receiveWithDescriptors, sendWithDescriptors } from '@flannel-ts/linux/pass-descriptors';
import { isProcessAlive, processStartTime } from '@flannel-ts/linux/process';
import * as s from '@flannel-ts/linux/socket';
import { readSysctl, writeSysctl } from '@flannel-ts/linux/sysctl';
import { buildSync } from 'esbuild';

jest.setTimeout(240_000);

const directory = mkdtempSync(join(tmpdir(), 'fltest-linux-'));
const made: string[] = [];
const newNetns = (label: string): string => {
  const path = `/run/netns/fltest-${process.pid}-${label}`;
  made.push(path);
  createNetns(path);
  return path;
};
const ownNetns = () => readlinkSync('/proc/thread-self/ns/net');

afterAll(() => {
  for (const path of made) deleteNetns(path);
  rmSync(directory, { recursive: true, force: true });
});

describe('both bindings', () => {
  const source = `
    import { bindingName, selfTest } from '@flannel-ts/linux/selftest';
    import { createNetns, deleteNetns, withNetns } from '@flannel-ts/linux/netns';
    import { readdirSync } from 'node:fs';
    const path = process.argv[2];
    createNetns(path);
    const devices = withNetns(path, () => readdirSync('/proc/sys/net/ipv4/conf').sort());
    deleteNetns(path);
    console.log(JSON.stringify({ binding: bindingName(), checks: selfTest().length, devices }));`;
  const expected = { checks: 9, devices: ['all', 'default', 'lo'] };

  test('selfTest() passes in an esbuild bundle on Node', () => {
    const bundle = join(directory, 'selftest.cjs');
    const stdin = { contents: source, resolveDir: resolve('packages/linux') };
    buildSync({ stdin, bundle: true, platform: 'node', format: 'cjs', target: 'node20', outfile: bundle });
    const options = { encoding: 'utf8', env: { ...process.env, NODE_PATH: resolve('node_modules') } } as const;
    const output = execFileSync(process.execPath, [bundle, `/run/netns/fltest-${process.pid}-koffi`], options);
    expect(JSON.parse(output)).toEqual({ binding: 'koffi', ...expected });
  });

  test('selfTest() passes in a binary compiled by Bun, which holds no koffi', () => {
    const [entry, binary] = [resolve(`packages/linux/fltest-${process.pid}.ts`), join(directory, 'selftest')];
    writeFileSync(entry, source);
    try {
      const bun = resolve('node_modules/.bin/bun');
      execFileSync(bun, ['build', '--compile', '--minify', '--bytecode', entry, '--outfile', binary], {
        stdio: 'pipe',
      });
    } finally {
      rmSync(entry);
    }
    const output = execFileSync(binary, [`/run/netns/fltest-${process.pid}-bun`], { encoding: 'utf8', cwd: '/' });
    expect(JSON.parse(output)).toEqual({ binding: 'bun:ffi', ...expected });
    expect(() => execFileSync('grep', ['-c', 'koffi-linux-x64', binary])).toThrow(); // grep exits 1: not found
  });
});

describe('network namespaces', () => {
  test('createNetns() makes a namespace that ip(8) recognizes, with its loopback down', () => {
    const path = newNetns('ip');
    expect(execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' })).toContain(`fltest-${process.pid}-ip`);
    const lo = JSON.parse(execFileSync('nsenter', [`--net=${path}`, 'ip', '-j', 'link'], { encoding: 'utf8' }));
    expect(lo).toMatchObject([{ ifname: 'lo', operstate: 'DOWN' }]);
  });

  test('createNetns() refuses a name in use, and takes over one that a crash left without its mount', () => {
    const path = newNetns('twice');
    expect(() => createNetns(path)).toThrow(expect.objectContaining({ code: 'EEXIST' }));
    deleteNetns(path);
    expect(existsSync(path)).toBe(false);
    writeFileSync(path, '');
    expect(netnsExists(path)).toBe(false);
    createNetns(path);
    expect(isNetns(path)).toBe(true);
  });

  test('createNetns() in many processes at once loses no namespace, also where the directory is no mount yet', async () => {
    const bundle = join(directory, 'create.cjs');
    const contents = `import { createNetns } from '@flannel-ts/linux/netns'; createNetns(process.argv[2]);`;
    const stdin = { contents, resolveDir: resolve('packages/linux') };
    buildSync({ stdin, bundle: true, platform: 'node', format: 'cjs', target: 'node20', outfile: bundle });
    const fresh = join(directory, 'netns');
    const paths = ['a', 'b', 'c', 'd'].map((name) => join(fresh, name));
    const env = { ...process.env, NODE_PATH: resolve('node_modules') };
    const exits = paths.map((path) => once(spawn(process.execPath, [bundle, path], { env, stdio: 'inherit' }), 'exit'));
    expect((await Promise.all(exits)).map(([code]) => code)).toEqual([0, 0, 0, 0]);
    expect(paths.map(isNetns)).toEqual([true, true, true, true]);
    for (const path of paths) deleteNetns(path);
    expect(readdirSync(fresh)).toEqual([]);
    execFileSync('umount', [fresh]); // fails if two mounts lay on each other: the directory could not be removed later
  });

  test('withNetns() acts inside, and is back afterwards, also after an error', () => {
    const [path, before] = [newNetns('with'), ownNetns()];
    expect(withNetns(path, ownNetns)).not.toBe(before);
    expect(ownNetns()).toBe(before);
    const failing = () =>
      withNetns(path, () => {
        throw new Error('inside');
      });
    expect(failing).toThrow('inside');
    expect(ownNetns()).toBe(before);
    expect(() => withNetns('/run/netns/fltest-none', () => 0)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
    expect(() => withNetns('/dev/null', () => 0)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    expect(ownNetns()).toBe(before);
  });

  test('withNetns() nests', () => {
    const [outer, inner] = [newNetns('outer'), newNetns('inner')];
    const names = withNetns(outer, () => [ownNetns(), withNetns(inner, ownNetns), ownNetns()]);
    expect(names[0]).toBe(names[2]);
    expect(names[1]).not.toBe(names[0]);
  });

  test('sameNetns() compares the namespaces, not the paths', () => {
    const [a, b] = [newNetns('a'), newNetns('b')];
    expect([sameNetns(a, a), sameNetns(a, b)]).toEqual([true, false]);
    expect(sameNetns('/proc/self/ns/net', `/proc/${process.pid}/ns/net`)).toBe(true);
  });

  test('deleteNetns() of a name that is not there does nothing', () => {
    expect(() => deleteNetns('/run/netns/fltest-never-made')).not.toThrow();
  });

  test('writeSysctl() sets a parameter of the namespace of the thread only', () => {
    const path = newNetns('sysctl');
    const outside = readSysctl('net/ipv4/ip_default_ttl');
    expect(withNetns(path, () => writeSysctl('net/ipv4/ip_default_ttl', 77))).toBe(true);
    expect(withNetns(path, () => writeSysctl('net/ipv4/ip_default_ttl', '77'))).toBe(false);
    expect(withNetns(path, () => readSysctl('net/ipv4/ip_default_ttl'))).toBe('77');
    expect(readSysctl('net/ipv4/ip_default_ttl')).toBe(outside);
  });
});

test('refuseInput() makes the kernel drop what arrives, and count it', () => {
  const [from, to] = [s.socket(s.AF_INET, s.SOCK_DGRAM), s.socket(s.AF_INET, s.SOCK_DGRAM)];
  s.bind(to, s.sockaddrIn(0x7f000001, 0));
  // A datagram on the loopback interface has arrived when the call returns.
  const send = () => s.sendTo(from, Uint8Array.of(1), 0, s.getSockName(to));
  send();
  s.refuseInput(to);
  send();
  send();
  expect(s.socketDrops(to)).toBe(2);
  const buffer = new Uint8Array(10);
  expect(s.recv(to, buffer, s.MSG_DONTWAIT)).toBe(1);
  expect(() => s.recv(to, buffer, s.MSG_DONTWAIT)).toThrow(expect.objectContaining({ code: 'EAGAIN' }));
  for (const fd of [from, to]) closeFd(fd);
});

describe('descriptors between processes', () => {
  /** The ends of a path in a unix socket. */
  function ends(): { readonly from: number; readonly to: number; readonly name: Uint8Array; close(): void } {
    const directory = mkdtempSync(join(tmpdir(), 'fltest-linux-'));
    const name = s.sockaddrUn(join(directory, 'socket'));
    const [from, to] = [s.socket(s.AF_UNIX, s.SOCK_DGRAM), s.socket(s.AF_UNIX, s.SOCK_DGRAM)];
    s.bind(to, name);
    const close = (): void => {
      for (const fd of [from, to]) closeFd(fd);
      rmSync(directory, { recursive: true });
    };
    return { from, to, name, close };
  }

  test('receiveWithDescriptors() gets other numbers for what was sent, closed on exec, with the data beside them', () => {
    const { from, to, name, close } = ends();
    const sent = [1, 2, 3].map(() => s.socket(s.AF_INET, s.SOCK_DGRAM));
    for (const fd of sent) s.bind(fd, s.sockaddrIn(0x7f000001, 0));
    sendWithDescriptors(from, Buffer.from('three'), sent, name);
    const { data, descriptors } = receiveWithDescriptors(to, 100);
    expect(Buffer.from(data).toString()).toBe('three');
    expect(descriptors).toHaveLength(3);
    for (const [index, fd] of descriptors.entries()) {
      expect(sent).not.toContain(fd);
      expect(s.getSockName(fd)).toEqual(s.getSockName(sent[index]!));
      // O_CLOEXEC, octal.
      expect(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')).toMatch(/^flags:\s+02\d{6}$/m);
    }
    for (const fd of [...sent, ...descriptors]) closeFd(fd);
    close();
  });

  test('a message without descriptors is one, an empty one, too, and none is EAGAIN', () => {
    const { from, to, name, close } = ends();
    for (const text of ['none', '']) {
      sendWithDescriptors(from, Buffer.from(text), [], name);
      expect(receiveWithDescriptors(to, 100)).toEqual({ data: Uint8Array.from(Buffer.from(text)), descriptors: [] });
    }
    const wait = () => receiveWithDescriptors(to, 100, s.MSG_DONTWAIT);
    expect(wait).toThrow(expect.objectContaining({ code: 'EAGAIN' }));
    expect(() => sendWithDescriptors(from, Uint8Array.of(1), [9999], name)).toThrow(
      expect.objectContaining({ code: 'EBADF' }),
    );
    close();
  });
});

describe('message batches by address', () => {
  const SEGMENT = 1000;
  const SEGMENTS = 40;

  /** A receiver with room for `count` messages in one memory, and a sender to it. */
  function pair(gro: boolean) {
    const [from, to] = [s.socket(s.AF_INET, s.SOCK_DGRAM), s.socket(s.AF_INET, s.SOCK_DGRAM)];
    s.bind(to, s.sockaddrIn(0x7f000001, 0));
    if (gro) s.setSocketOption(to, s.SOL_UDP, s.UDP_GRO, 1);
    s.setSocketTimeout(to, s.SO_RCVTIMEO, 5000);
    return { from, to, sockaddr: s.getSockName(to), close: () => [from, to].forEach(closeFd) };
  }

  const AREA = { sockaddr: 0, message: 64, iovec: 256, control: 512, payload: 1024 };
  const block = () => {
    const bytes = new Uint8Array(new SharedArrayBuffer(1024 + 65536));
    return { bytes, words: new Uint32Array(bytes.buffer), base: addressOf(bytes) };
  };

  function superDatagram(sockaddr: Uint8Array) {
    const { bytes, words, base } = block();
    bytes.set(sockaddr, AREA.sockaddr);
    for (let i = 0; i < SEGMENTS; i++) bytes.fill(i, AREA.payload + i * SEGMENT, AREA.payload + (i + 1) * SEGMENT);
    layouts.setIovec(words, AREA.iovec, base + AREA.payload, SEGMENTS * SEGMENT);
    layouts.setSegmentSize(words, AREA.control, SEGMENT);
    layouts.setMessage(words, AREA.message, {
      name: base + AREA.sockaddr,
      nameLength: 16,
      iovecs: base + AREA.iovec,
      iovecCount: 1,
      control: base + AREA.control,
      controlLength: layouts.CMSG_SPACE,
    });
    return { bytes, base };
  }

  test('trySendmmsg() with a segment size sends many datagrams, which arrive one by one without UDP_GRO', () => {
    const { from, to, sockaddr, close } = pair(false);
    const { base, bytes } = superDatagram(sockaddr);
    expect(s.trySendmmsg(from, base + AREA.message, 1, 0)).toBe(1);
    const buffer = new Uint8Array(2000);
    for (let i = 0; i < SEGMENTS; i++) {
      expect(s.recv(to, buffer)).toBe(SEGMENT);
      expect([buffer[0], buffer[SEGMENT - 1]]).toEqual([i, i]);
    }
    expect(bytes.byteLength).toBeGreaterThan(0); // alive until here: the address alone does not keep it
    close();
  });

  test('tryRecvmmsg() with UDP_GRO receives them in one buffer, with their size', () => {
    const { from, to, sockaddr, close } = pair(true);
    const sent = superDatagram(sockaddr);
    expect(s.trySendmsg(from, sent.base + AREA.message, 0)).toBe(SEGMENT * SEGMENTS);
    const { bytes, words, base } = block();
    layouts.setIovec(words, AREA.iovec, base + AREA.payload, 65536);
    layouts.setMessage(words, AREA.message, {
      name: base + AREA.sockaddr,
      nameLength: 16,
      iovecs: base + AREA.iovec,
      iovecCount: 1,
      control: base + AREA.control,
      controlLength: layouts.CMSG_SPACE,
    });
    expect(s.tryRecvmmsg(to, base + AREA.message, 1, s.MSG_WAITFORONE)).toBe(1);
    expect(layouts.batchedLength(words, AREA.message)).toBe(SEGMENT * SEGMENTS);
    expect(layouts.groSegmentSize(words, AREA.message, AREA.control)).toBe(SEGMENT);
    expect(layouts.messageFlags(words, AREA.message)).toBe(0);
    expect(s.sockaddrInAddress(bytes.subarray(AREA.sockaddr, 16))).toBe(0x7f000001);
    expect([bytes[AREA.payload], bytes[AREA.payload + SEGMENT * SEGMENTS - 1]]).toEqual([0, SEGMENTS - 1]);
    close();
    expect(sent.bytes.byteLength).toBeGreaterThan(0);
  });

  test('a batch that the kernel refuses answers with a negative errno', () => {
    const { from, sockaddr, close } = pair(false);
    const { words, base } = (() => {
      const { bytes, words, base } = block();
      bytes.set(sockaddr, AREA.sockaddr);
      return { words, base };
    })();
    layouts.setIovec(words, AREA.iovec, base + AREA.payload, 65508); // one more than UDP over IPv4 can carry
    layouts.setMessage(words, AREA.message, {
      name: base + AREA.sockaddr,
      nameLength: 16,
      iovecs: base + AREA.iovec,
      iovecCount: 1,
      control: 0,
      controlLength: 0,
    });
    expect(s.trySendmmsg(from, base + AREA.message, 1, 0)).toBe(-90); // EMSGSIZE
    close();
  });
});

describe('processes', () => {
  test('isProcessAlive() knows a process by its start, and a zombie or a missing one is not alive', async () => {
    const start = processStartTime(process.pid);
    expect(start).toMatch(/^\d+$/);
    expect(isProcessAlive(process.pid, start!)).toBe(true);
    expect(isProcessAlive(process.pid, '1')).toBe(false);
    const child = spawn('sleep', ['60']);
    const childStart = processStartTime(child.pid!)!;
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(isProcessAlive(child.pid!, childStart)).toBe(false);
  });
});
