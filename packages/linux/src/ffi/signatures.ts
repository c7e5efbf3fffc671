/**
 * Every libc function this project calls, once. The two bindings (koffi.ts, bun.ts) translate these words into their own
 * type names; a wrong word here corrupts memory, so a line follows the function's declaration in its man page exactly.
 *
 * - `i32`/`u32`/`usize`/`isize`: integers; `usize` and `isize` are as wide as a register, passed and returned as Number.
 * - `view`: pointer to the bytes of a Uint8Array, or null.
 * - `address`: the same pointer as a precomputed number (memory.ts); nothing is looked up or kept alive.
 *
 * `open`, `fcntl`, `ioctl` and `syscall` are variadic in C. The ABIs of Linux on x86-64 and arm64 pass integers to them as to any function.
 */
export type Word = 'i32' | 'u32' | 'usize' | 'isize' | 'view' | 'address';

export interface Signature {
  /** The symbol's name in libc where it differs from the key. */
  readonly symbol?: string;
  readonly args: readonly Word[];
  readonly returns: 'i32' | 'isize';
}

export const SIGNATURES = {
  // files
  open: { args: ['view', 'i32', 'u32'], returns: 'i32' },
  close: { args: ['i32'], returns: 'i32' },
  read: { args: ['i32', 'view', 'usize'], returns: 'isize' },
  pread: { args: ['i32', 'view', 'usize', 'usize'], returns: 'isize' },
  pwrite: { args: ['i32', 'view', 'usize', 'usize'], returns: 'isize' },
  readAt: { symbol: 'read', args: ['i32', 'address', 'usize'], returns: 'isize' },
  write: { args: ['i32', 'view', 'usize'], returns: 'isize' },
  writeAt: { symbol: 'write', args: ['i32', 'address', 'usize'], returns: 'isize' },
  readv: { args: ['i32', 'address', 'i32'], returns: 'isize' },
  writev: { args: ['i32', 'address', 'i32'], returns: 'isize' },
  ioctl: { args: ['i32', 'usize', 'view'], returns: 'i32' },
  ioctlValue: { symbol: 'ioctl', args: ['i32', 'usize', 'usize'], returns: 'i32' },
  fcntl: { args: ['i32', 'i32', 'usize'], returns: 'i32' },
  flock: { args: ['i32', 'i32'], returns: 'i32' },
  unlink: { args: ['view'], returns: 'i32' },
  rename: { args: ['view', 'view'], returns: 'i32' },
  linkat: { args: ['i32', 'view', 'i32', 'view', 'i32'], returns: 'i32' },
  mkdir: { args: ['view', 'u32'], returns: 'i32' },
  statx: { args: ['i32', 'view', 'i32', 'u32', 'view'], returns: 'i32' },
  mount: { args: ['view', 'view', 'view', 'usize', 'view'], returns: 'i32' },
  umount2: { args: ['view', 'i32'], returns: 'i32' },

  // waiting
  sched_yield: { args: [], returns: 'i32' },
  poll: { args: ['view', 'usize', 'i32'], returns: 'i32' },
  pollAt: { symbol: 'poll', args: ['address', 'usize', 'i32'], returns: 'i32' },
  eventfd: { args: ['u32', 'i32'], returns: 'i32' },
  clock_gettime: { args: ['i32', 'view'], returns: 'i32' },
  setitimer: { args: ['i32', 'view', 'view'], returns: 'i32' },
  sigaction: { args: ['i32', 'view', 'view'], returns: 'i32' },
  kill: { args: ['i32', 'i32'], returns: 'i32' },
  dlsym: { args: ['usize', 'view'], returns: 'isize' },

  // sockets
  socket: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
  bind: { args: ['i32', 'view', 'u32'], returns: 'i32' },
  connect: { args: ['i32', 'view', 'u32'], returns: 'i32' },
  listen: { args: ['i32', 'i32'], returns: 'i32' },
  accept4: { args: ['i32', 'view', 'view', 'i32'], returns: 'i32' },
  getsockname: { args: ['i32', 'view', 'view'], returns: 'i32' },
  setsockopt: { args: ['i32', 'i32', 'i32', 'view', 'u32'], returns: 'i32' },
  getsockopt: { args: ['i32', 'i32', 'i32', 'view', 'view'], returns: 'i32' },
  shutdown: { args: ['i32', 'i32'], returns: 'i32' },
  sendto: { args: ['i32', 'view', 'usize', 'i32', 'view', 'u32'], returns: 'isize' },
  sendtoAt: { symbol: 'sendto', args: ['i32', 'address', 'usize', 'i32', 'address', 'u32'], returns: 'isize' },
  recvfrom: { args: ['i32', 'view', 'usize', 'i32', 'view', 'view'], returns: 'isize' },
  recvfromAt: { symbol: 'recvfrom', args: ['i32', 'address', 'usize', 'i32', 'address', 'address'], returns: 'isize' },
  sendmsg: { args: ['i32', 'address', 'i32'], returns: 'isize' },
  recvmsg: { args: ['i32', 'address', 'i32'], returns: 'isize' },
  sendmmsg: { args: ['i32', 'address', 'u32', 'i32'], returns: 'i32' },
  recvmmsg: { args: ['i32', 'address', 'u32', 'i32', 'address'], returns: 'i32' },

  // namespaces and the thread
  unshare: { args: ['i32'], returns: 'i32' },
  setns: { args: ['i32', 'i32'], returns: 'i32' },
  exitNow: { symbol: '_exit', args: ['i32'], returns: 'i32' }, // void in C; it does not return
  prctl: { args: ['i32', 'view', 'usize', 'usize', 'usize'], returns: 'i32' },

  // bpf(2) has no function of its own in libc: the first argument is the number of the call.
  bpf: { symbol: 'syscall', args: ['usize', 'usize', 'view', 'usize'], returns: 'isize' },

  madvise: { args: ['address', 'usize', 'i32'], returns: 'i32' },

  // The variant of strerror_r that glibc and musl share; it fills the buffer and returns 0.
  strerror: { symbol: '__xpg_strerror_r', args: ['i32', 'view', 'usize'], returns: 'i32' },
} as const satisfies Record<string, Signature>;

export type FunctionName = keyof typeof SIGNATURES;

interface Words {
  i32: number;
  u32: number;
  usize: number;
  isize: number;
  view: Uint8Array | null;
  address: number;
}

type Arguments<A extends readonly Word[]> = { -readonly [I in keyof A]: Words[A[I]] };

export type Libc = {
  [K in FunctionName]: (...args: Arguments<(typeof SIGNATURES)[K]['args']>) => number;
};

/** What a binding offers: the functions, errno of the calling thread's last failed call, and a view's address. */
export interface Binding {
  readonly name: 'koffi' | 'bun:ffi';
  /** Looks one function up. */
  bind<K extends FunctionName>(name: K): Libc[K];
  errno(): number;
  addressOf(view: ArrayBufferView): number;
}
