/**
 * The machine code in front of the CNI plugin's runtime, which takes longer to start than its work takes. It asks the plugin's resident
 * process (cni/src/resident) first: one system call after another, and whenever one of them is not answered as it should be, the
 * runtime starts as if nothing had been tried, with the same stdin. Only when the resident process has been told to go on, and
 * then ends or is silent, the call has failed. VERSION is answered at once.
 *
 * Stdout stays here: whoever reads it would otherwise wait for the resident process, too, which may be stopped.
 */
import { Assembler, type Place } from './x86.ts';

// asm/unistd_64.h
const SYS = {
  read: 0,
  write: 1,
  close: 3,
  poll: 7,
  lseek: 8,
  mmap: 9,
  sigaction: 13,
  dup2: 33,
  socket: 41,
  connect: 42,
  sendto: 44,
  recvfrom: 45,
  sendmsg: 46,
  getsockopt: 55,
  fcntl: 72,
  readlink: 89,
  exitGroup: 231,
  memfdCreate: 319,
} as const;

const F_GETFD = 1;
const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const MSG_NOSIGNAL = 0x4000;
const POLLIN = 1;
const POLLOUT = 4;
const SIGPIPE = 13;
const SIG_IGN = 1;
const SIGSET_BYTES = 8;
const EAGAIN = -11;
const EINTR = -4;
const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MFD_CLOEXEC = 1;

/** As in cni/src/resident: place.ts and message.ts. */
export const DIRECTORY = '/run/flannel/cni';
const READY = 0x52;
const PATIENCE = 0x50;
const GO = 'G';
const TEXT = 0x54;
const WRITTEN = 'W';
const UNWRITABLE = 'U';
/** Of a resident process that is stopped, or does not get on with a call. */
const READY_MS = 2000;
/** It gives up after 55 s by itself (cni/src/deadline.ts). */
const DONE_MS = 60_000;
/** Below what a socket takes by default (212,992), together. */
const MAX_STRINGS = 64 << 10;
const MAX_STDIN = 128 << 10;

/** From rbp on. */
const FRAME = {
  address: 0, // struct sockaddr_un
  message: 128, // struct msghdr
  parts: 192, // three struct iovec
  action: 240, // struct sigaction of the kernel, 32 bytes
  header: 272, // argc, and the length of argv and environment
  poll: 288, // struct pollfd
  peer: 296, // struct ucred
  length: 312,
  byte: 320,
  size: 336,
} as const;
const SIZE_OF_PATH = 108;

export interface LauncherTexts {
  /** What VERSION prints. */
  readonly version: string;
  /** What is printed when the resident process is lost. */
  readonly lost: string;
  /** Of the build: a launcher talks to processes of its own kind alone. */
  readonly identity: string;
}

/** `entry`: where the runtime begins, from the beginning of this code. */
export function launcherCode(entry: number, texts: LauncherTexts): Uint8Array {
  const code = new Assembler();
  // The C library's rdx (System V ABI, 3.4.1), and the stack, on which argc, argv and the environment are.
  code.move('r15', 'rdx');
  code.move('r14', 'rsp');
  refuseWithoutStdout(code);
  findCommand(code);
  answerVersion(code, texts.version);
  connectToResident(code, texts.identity);
  readStdin(code);
  request(code);
  obey(code);
  failWith(code, texts.lost);
  giveBackStdin(code);
  startRuntime(code, entry);
  code.label('version');
  code.text(texts.version);
  code.label('lost text');
  code.text(texts.lost);
  code.label('directory');
  code.text(`${DIRECTORY}/`);
  code.label('link');
  code.text('/proc/self/ns/net\0');
  code.label('identity');
  code.text(`-${texts.identity}\0`);
  code.label('go');
  code.text(GO);
  code.label('written');
  code.text(WRITTEN);
  code.label('unwritable');
  code.text(UNWRITABLE);
  code.label('memory name');
  code.text('stdin\0');
  return code.bytes();
}

/** Bun would open /dev/null in its place, and an ADD would succeed of which nobody hears. */
function refuseWithoutStdout(code: Assembler): void {
  code.systemCall(SYS.fcntl, 1, F_GETFD);
  code.jumpIf('notNegative', 'has stdout');
  code.systemCall(SYS.exitGroup, 1);
  code.label('has stdout');
}

/** rbx: the value of CNI_COMMAND. r12: the last string of the environment. Without a command the runtime starts. */
function findCommand(code: Assembler): void {
  code.load('rax', ['r14', 0]);
  code.addressOfWord('rsi', 'r14', 'rax', 16);
  code.move('rbx', 0);
  code.label('variable');
  code.load('rdi', ['rsi', 0]);
  code.compare('rdi', 0);
  code.jumpIf('equal', 'no more variables');
  code.move('r12', 'rdi');
  code.add('rsi', 8);
  jumpUnlessText(code, ['rdi', 0], 'CNI_COMM', 'variable');
  jumpUnlessText(code, ['rdi', 4], 'COMMAND=', 'variable');
  code.addressOf('rbx', ['rdi', 'CNI_COMMAND='.length]);
  code.jump('variable');
  code.label('no more variables');
  code.compare('rbx', 0);
  code.jumpIf('equal', 'start');
}

/** There are more than 8 bytes behind every string of the stack (the program's name, and a word of zeros). */
function jumpUnlessText(code: Assembler, place: Place, text: string, label: string): void {
  code.move('rax', new DataView(new TextEncoder().encode(text).buffer).getBigUint64(0, true));
  code.load('rcx', place);
  code.compare('rax', 'rcx');
  code.jumpIf('unequal', label);
}

function answerVersion(code: Assembler, text: string): void {
  jumpUnlessText(code, ['rbx', 0], 'VERSION\0', 'another command');
  code.systemCall(SYS.write, 1, { addressOf: 'version' }, text.length);
  code.compare('rax', text.length);
  code.jumpIf('unequal', 'start');
  code.systemCall(SYS.exitGroup, 0);
  code.label('another command');
}

/** rbx: the socket. The name has the number of the network namespace in it: a resident process serves its own alone. */
function connectToResident(code: Assembler, identity: string): void {
  code.add('rsp', -FRAME.size);
  code.move('rbp', 'rsp');
  code.storeNumber(['rbp', FRAME.address], AF_UNIX);
  const path = FRAME.address + 2;
  code.addressOf('rsi', 'directory');
  code.addressOf('rdi', ['rbp', path]);
  code.move('rcx', DIRECTORY.length + 1);
  code.copyBytes();
  const room = SIZE_OF_PATH - DIRECTORY.length - identity.length - 3;
  code.move('r13', 'rdi');
  code.systemCall(SYS.readlink, { addressOf: 'link' }, 'r13', room);
  code.jumpIf('notPositive', 'start');
  code.add('r13', 'rax');
  code.move('rdi', 'r13');
  code.addressOf('rsi', 'identity');
  code.move('rcx', identity.length + 2);
  code.copyBytes();
  code.systemCall(SYS.socket, AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  code.jumpIf('negative', 'start');
  code.move('rbx', 'rax');
  code.systemCall(SYS.connect, 'rbx', { addressOf: ['rbp', FRAME.address] }, SIZE_OF_PATH + 2);
  code.jumpIf('negative', 'give up');
  code.storeNumber(['rbp', FRAME.length], 12);
  const [peer, length] = [{ addressOf: ['rbp', FRAME.peer] }, { addressOf: ['rbp', FRAME.length] }] as const;
  code.systemCall(SYS.getsockopt, 'rbx', SOL_SOCKET, SO_PEERCRED, peer, length);
  code.jumpIf('negative', 'give up');
  code.loadDouble('rax', ['rbp', FRAME.peer + 4]); // uid
  code.compare('rax', 0);
  code.jumpIf('unequal', 'give up');
}

/** r12: memory of MAX_STDIN bytes; r13: how many are used. The strings of the stack lie one behind the other. */
function readStdin(code: Assembler): void {
  code.label('next letter');
  code.loadByte('rax', ['r12', 0]);
  code.add('r12', 1);
  code.compare('rax', 0);
  code.jumpIf('unequal', 'next letter');
  code.load('rax', ['r14', 8]); // argv[0]
  code.subtract('r12', 'rax');
  code.compare('r12', MAX_STRINGS);
  code.jumpIf('above', 'give up');
  code.store(['rbp', FRAME.header + 8], 'r12');
  code.systemCall(SYS.mmap, 0, MAX_STDIN, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
  code.jumpIf('negative', 'give up');
  code.move('r12', 'rax');
  code.move('r13', 0);
  code.label('read');
  code.move('rdx', MAX_STDIN);
  code.subtract('rdx', 'r13');
  code.jumpIf('equal', 'give back'); // too much
  code.move('rsi', 'r12');
  code.add('rsi', 'r13');
  code.systemCall(SYS.read, 0, 'rsi', 'rdx');
  code.jumpIf('equal', 'have read');
  code.jumpIf('negative', 'not read');
  code.add('r13', 'rax');
  code.jump('read');
  code.label('not read');
  code.compare('rax', EINTR);
  code.jumpIf('equal', 'read');
  code.compare('rax', EAGAIN);
  code.jumpIf('unequal', 'unreadable');
  code.call('wait for stdin');
  code.jump('read');
  code.label('unreadable');
  code.compare('r13', 0);
  code.jumpIf('equal', 'give up');
  code.jump('give back');
  code.label('have read');
}

function request(code: Assembler): void {
  const at = (name: keyof typeof FRAME, offset = 0): Place => ['rbp', FRAME[name] + offset];
  const pointTo = (place: Place, what: Place): void => {
    code.addressOf('rax', what);
    code.store(place, 'rax');
  };
  code.load('rax', ['r14', 0]);
  code.store(at('header'), 'rax');
  pointTo(at('parts'), at('header'));
  code.storeNumber(at('parts', 8), 16);
  code.load('rax', ['r14', 8]);
  code.store(at('parts', 16), 'rax');
  code.load('rax', at('header', 8));
  code.store(at('parts', 24), 'rax');
  code.store(at('parts', 32), 'r12');
  code.store(at('parts', 40), 'r13');
  code.storeNumber(at('message'), 0);
  code.storeNumber(at('message', 8), 0);
  pointTo(at('message', 16), at('parts'));
  code.storeNumber(at('message', 24), 3);
  code.storeNumber(at('message', 32), 0);
  code.storeNumber(at('message', 40), 0);
  code.storeNumber(at('message', 48), 0);
  code.systemCall(SYS.sendmsg, 'rbx', { addressOf: at('message') }, MSG_NOSIGNAL);
  code.jumpIf('negative', 'give back');
  code.label('stand in line');
  awaitSocket(code, READY_MS);
  code.jumpIf('notPositive', 'give back');
  receiveByte(code, 'give back');
  code.compare('rax', PATIENCE);
  code.jumpIf('equal', 'stand in line');
  code.compare('rax', READY);
  code.jumpIf('unequal', 'give back');
  say(code, 'go');
  code.jumpIf('negative', 'give back');
}

/** From here on the call is the resident process's, and the runtime does not start any more. */
function obey(code: Assembler): void {
  code.storeNumber(['rbp', FRAME.action], SIG_IGN);
  for (const offset of [8, 16, 24]) code.storeNumber(['rbp', FRAME.action + offset], 0);
  code.systemCall(SYS.sigaction, SIGPIPE, { addressOf: ['rbp', FRAME.action] }, 0, SIGSET_BYTES);
  code.label('wait');
  awaitSocket(code, DONE_MS);
  code.compare('rax', EINTR);
  code.jumpIf('equal', 'wait');
  code.compare('rax', 0);
  code.jumpIf('notPositive', 'lost');
  code.systemCall(SYS.recvfrom, 'rbx', 'r12', MAX_STDIN, 0, 0, 0);
  code.jumpIf('notPositive', 'lost');
  code.move('r13', 'rax');
  code.loadByte('rax', ['r12', 0]);
  code.compare('rax', TEXT);
  code.jumpIf('equal', 'text');
  code.systemCall(SYS.exitGroup, 'rax');
  code.label('text');
  code.addressOf('r15', ['r12', 1]);
  code.add('r13', -1);
  code.label('print');
  code.compare('r13', 0);
  code.jumpIf('equal', 'printed');
  code.systemCall(SYS.write, 1, 'r15', 'r13');
  code.jumpIf('negative', 'not printed');
  code.add('r15', 'rax');
  code.subtract('r13', 'rax');
  code.jump('print');
  code.label('not printed');
  code.compare('rax', EINTR);
  code.jumpIf('equal', 'print');
  code.compare('rax', EAGAIN);
  code.jumpIf('unequal', 'not printable');
  code.move('rax', (BigInt(POLLOUT) << 32n) | 1n);
  code.store(['rbp', FRAME.poll], 'rax');
  code.systemCall(SYS.poll, { addressOf: ['rbp', FRAME.poll] }, 1, -1);
  code.jump('print');
  code.label('not printable');
  say(code, 'unwritable');
  code.jump('wait');
  code.label('printed');
  say(code, 'written');
  code.jump('wait');
}

/** One byte, at a label. */
function say(code: Assembler, label: string): void {
  code.systemCall(SYS.sendto, 'rbx', { addressOf: label }, 1, MSG_NOSIGNAL, 0, 0);
}

function awaitSocket(code: Assembler, ms: number): void {
  // Both fields of struct pollfd in one word.
  code.move('rax', BigInt(POLLIN) << 32n);
  code.add('rax', 'rbx');
  code.store(['rbp', FRAME.poll], 'rax');
  code.systemCall(SYS.poll, { addressOf: ['rbp', FRAME.poll] }, 1, ms);
}

/** Into rax. */
function receiveByte(code: Assembler, otherwise: string): void {
  code.systemCall(SYS.recvfrom, 'rbx', { addressOf: ['rbp', FRAME.byte] }, 1, 0, 0, 0);
  code.jumpIf('notPositive', otherwise);
  code.loadByte('rax', ['rbp', FRAME.byte]);
}

function failWith(code: Assembler, text: string): void {
  code.label('lost');
  code.systemCall(SYS.write, 1, { addressOf: 'lost text' }, text.length);
  code.systemCall(SYS.exitGroup, 1);
}

/** What was read of stdin, and what still comes, in a file of memory that takes its place. */
function giveBackStdin(code: Assembler): void {
  code.label('give back');
  code.systemCall(SYS.close, 'rbx');
  code.systemCall(SYS.memfdCreate, { addressOf: 'memory name' }, MFD_CLOEXEC);
  code.jumpIf('negative', 'lost');
  code.move('rbx', 'rax');
  code.label('keep');
  // r13 bytes at r12.
  code.move('rbp', 'r12');
  code.label('write');
  code.compare('r13', 0);
  code.jumpIf('equal', 'kept');
  code.systemCall(SYS.write, 'rbx', 'rbp', 'r13');
  code.jumpIf('notPositive', 'lost');
  code.add('rbp', 'rax');
  code.subtract('r13', 'rax');
  code.jump('write');
  code.label('kept');
  code.systemCall(SYS.read, 0, 'r12', MAX_STDIN);
  code.move('r13', 'rax');
  code.jumpIf('equal', 'all kept');
  code.jumpIf('notNegative', 'keep');
  code.compare('rax', EINTR);
  code.move('r13', 0);
  code.jumpIf('equal', 'kept');
  code.compare('rax', EAGAIN);
  code.jumpIf('unequal', 'all kept');
  code.call('wait for stdin');
  code.jump('kept');
  code.label('all kept');
  code.systemCall(SYS.lseek, 'rbx', 0, 0);
  code.systemCall(SYS.dup2, 'rbx', 0);
  code.jumpIf('negative', 'lost');
  code.label('give up');
  code.systemCall(SYS.close, 'rbx');
  code.jump('start');
  code.label('wait for stdin');
  code.move('rax', BigInt(POLLIN) << 32n);
  code.store(['rsp', -64], 'rax');
  code.systemCall(SYS.poll, { addressOf: ['rsp', -64] }, 1, -1);
  code.return();
}

/**
 * Bun takes BUN_BE_BUN=1 for the wish to be Bun's command line, and BUN_OPTIONS for its arguments; a program that a container
 * runtime starts has no say in its environment. So the first byte of each name gets bit 6 cleared if it is a letter or an underscore; of
 * those, none looks like a name any more. Other names are emptied.
 */
function startRuntime(code: Assembler, entry: number): void {
  code.label('start');
  code.move('rsp', 'r14');
  code.load('rax', ['r14', 0]);
  code.addressOfWord('rsi', 'r14', 'rax', 16);
  code.label('rename');
  code.load('rdi', ['rsi', 0]);
  code.compare('rdi', 0);
  code.jumpIf('equal', 'renamed');
  code.add('rsi', 8);
  code.loadByte('rax', ['rdi', 0]);
  code.move('rcx', 'rax');
  code.and('rcx', 0xc0);
  code.exclusiveOr('rax', 0x40);
  code.compare('rcx', 0x40);
  code.jumpIf('equal', 'name');
  code.move('rax', 0);
  code.label('name');
  code.storeByte(['rdi', 0]);
  code.jump('rename');
  code.label('renamed');
  code.move('rdx', 'r15');
  code.jumpOut(entry);
}
