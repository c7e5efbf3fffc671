import { strict as assert } from 'node:assert';
import { EAGAIN } from './errno.ts';
import { isErrno, SystemError } from './errors.ts';
import { binding } from './ffi/libc.ts';
import { closeFd, flock, LOCK_EX, LOCK_NB, O_CREAT, O_RDWR, openFile, tryRead, tryReadAt, writeFd } from './files.ts';
import { addressOf } from './memory.ts';
import { eventfd, POLLIN, PollSet } from './poll.ts';
import * as s from './socket.ts';

/**
 * Exercises the binding at hand against the kernel: one call of each kind of signature. Run it under both runtimes; it needs
 * no privileges. Returns what was checked; throws at the first difference.
 */
export function selfTest(): string[] {
  const checks: string[] = [];
  for (const [name, check] of Object.entries(CHECKS)) {
    check();
    checks.push(name);
  }
  return checks;
}

/** Which binding the self-test exercised. */
export const bindingName = () => binding().name;

const CHECKS: Readonly<Record<string, () => void>> = {
  'a failed call throws its errno': () => {
    assert.throws(
      () => openFile('/nonexistent/file', 0),
      (e: unknown) => e instanceof SystemError && e.errno === 2 && e.code === 'ENOENT' && isErrno(e, 'ENOENT'),
    );
    assert.throws(() => closeFd(-1), { code: 'EBADF' });
  },
  'files are read and written, by view and by address': () => {
    const zero = openFile('/dev/zero', O_RDWR);
    const buffer = new Uint8Array(64).fill(7);
    assert.equal(tryRead(zero, buffer, 32), 32);
    assert.deepEqual([buffer[31], buffer[32]], [0, 7]);
    assert.equal(tryReadAt(zero, addressOf(buffer.subarray(40)), 8), 8);
    assert.deepEqual([buffer[39], buffer[40], buffer[47], buffer[48]], [7, 0, 0, 7]);
    assert.equal(writeFd(zero, new Uint8Array(0)), 0);
    closeFd(zero);
  },
  'an address points into shared WebAssembly memory': () => {
    const memory = new Uint8Array(sharedMemory());
    memory.fill(7);
    const zero = openFile('/dev/zero', O_RDWR);
    assert.equal(tryReadAt(zero, addressOf(memory) + 100, 10), 10);
    closeFd(zero);
    assert.deepEqual([memory[99], memory[100], memory[109], memory[110]], [7, 0, 0, 7]);
  },
  'a lock excludes another descriptor': () => {
    const path = `/tmp/flannel-ts-selftest-${process.pid}`;
    const [a, b] = [openFile(path, O_RDWR | O_CREAT, 0o600), openFile(path, O_RDWR)];
    flock(a, LOCK_EX | LOCK_NB);
    assert.throws(() => flock(b, LOCK_EX | LOCK_NB), { code: 'EAGAIN' });
    closeFd(a);
    flock(b, LOCK_EX | LOCK_NB);
    closeFd(b);
  },
  'an event descriptor wakes a poll': () => {
    const event = eventfd();
    const set = new PollSet([{ fd: event.fd, events: POLLIN }]);
    assert.equal(set.wait(0), 0);
    event.signal();
    assert.equal(set.wait(1000), 1);
    assert.equal(set.ready(0), POLLIN);
    assert.equal(event.drain(), true);
    assert.equal(event.drain(), false);
    event.close();
  },
  'datagrams pass between UDP sockets': udpExchange,
  'a TCP connection is accepted': tcpExchange,
  // errno is asked by a second call: nothing that the runtime does between the two, as collecting garbage, may change it.
  'errno is right between garbage collections': () => {
    const fd = s.socket(s.AF_INET, s.SOCK_DGRAM);
    const [buffer, from] = [new Uint8Array(16), new Uint8Array(16)];
    let garbage: unknown[] = [];
    for (let i = 0; i < 100_000; i++) {
      if (garbage.push({ text: `${i}`, list: new Array(50).fill(i) }) === 5000) garbage = [];
      assert.equal(s.tryRecvFrom(fd, buffer, s.MSG_DONTWAIT, from), EAGAIN);
    }
    closeFd(fd);
  },
  'a netlink socket answers': () => {
    const fd = s.socket(s.AF_NETLINK, s.SOCK_RAW, s.NETLINK_ROUTE);
    s.bind(fd, s.sockaddrNl());
    s.setSocketOption(fd, s.SOL_NETLINK, s.NETLINK_EXT_ACK, 1);
    s.setSocketTimeout(fd, s.SO_RCVTIMEO, 2500);
    // RTM_GETLINK with NLM_F_REQUEST for index 1, the loopback device of every namespace
    const request = new Uint8Array(32);
    request.set([32, 0, 0, 0, 18, 0, 1, 0, 1]);
    request[20] = 1;
    assert.equal(s.sendTo(fd, request), 32);
    const reply = new Uint8Array(8192);
    assert.ok(s.recv(fd, reply) > 32);
    assert.equal(reply[4], 16); // RTM_NEWLINK
    closeFd(fd);
  },
};

/** The type of WebAssembly is declared only with a browser's library. */
function sharedMemory(): SharedArrayBuffer {
  type Memory = new (size: { initial: number; maximum: number; shared: true }) => { buffer: SharedArrayBuffer };
  const { Memory } = (globalThis as unknown as { WebAssembly: { Memory: Memory } }).WebAssembly;
  return new Memory({ initial: 1, maximum: 1, shared: true }).buffer;
}

function udpExchange(): void {
  const loopback = 0x7f000001;
  const [a, b] = [s.socket(s.AF_INET, s.SOCK_DGRAM), s.socket(s.AF_INET, s.SOCK_DGRAM)];
  for (const fd of [a, b]) s.bind(fd, s.sockaddrIn(loopback, 0));
  const to = s.getSockName(b);
  assert.equal(s.sockaddrInAddress(to), loopback);
  const buffer = new Uint8Array(100);
  const from = new Uint8Array(16);
  assert.equal(s.tryRecvFrom(b, buffer, s.MSG_DONTWAIT, from), EAGAIN);
  assert.equal(s.sendTo(a, new Uint8Array([1, 2, 3]), 0, to), 3);
  assert.equal(s.recv(b, buffer, s.MSG_PEEK | s.MSG_TRUNC), 3);
  assert.equal(s.tryRecvFrom(b, buffer, 0, from), 3);
  assert.deepEqual([...buffer.subarray(0, 4)], [1, 2, 3, 0]);
  assert.deepEqual(from, s.getSockName(a));
  const target = s.sockaddrIn(loopback, s.sockaddrInPort(to));
  assert.equal(s.trySendTo(a, buffer, 2, 0, target), 2);
  assert.equal(s.recvFrom(b, buffer, 0, from), 2);
  s.setSocketOption(a, s.SOL_SOCKET, s.SO_SNDBUF, 20000);
  assert.equal(s.getSocketOption(a, s.SOL_SOCKET, s.SO_SNDBUF), 40000); // the kernel doubles it
  closeFd(a);
  closeFd(b);
}

function tcpExchange(): void {
  const listening = s.socket(s.AF_INET, s.SOCK_STREAM);
  s.bind(listening, s.sockaddrIn(0x7f000001, 0));
  s.listen(listening);
  const client = s.socket(s.AF_INET, s.SOCK_STREAM);
  s.connect(client, s.getSockName(listening));
  const server = s.accept(listening);
  assert.equal(s.sendTo(client, new Uint8Array([1, 2, 3])), 3);
  const buffer = new Uint8Array(4);
  assert.equal(s.recv(server, buffer), 3);
  assert.deepEqual([...buffer], [1, 2, 3, 0]);
  assert.throws(() => s.accept(client), { code: 'EINVAL' }); // it does not listen
  for (const fd of [server, client, listening]) closeFd(fd);
}
