/** Error numbers of Linux. x86-64 and arm64 have the same (asm-generic/errno-base.h, errno.h). */
import { constants } from 'node:os';

/** Those that node:os leaves out and the network stack answers with. */
const MORE = {
  EBADFD: 77,
  ERESTART: 85,
  ENONET: 64,
  ENOPKG: 65,
  ENOTUNIQ: 76,
  EUSERS: 87,
  ESOCKTNOSUPPORT: 94,
  EPFNOSUPPORT: 96,
  ESHUTDOWN: 108,
  EHOSTDOWN: 112,
  ENOKEY: 126,
  ENOTSUPP: 524, // linux/errno.h: of the kernel's own, but bpf(2) lets it out
} as const;

/** By name, as `EEXIST: 17`. */
export const ERRNO: Readonly<Record<string, number>> = { ...constants.errno, ...MORE };

// Negative, as the calls that do not throw return them: system calls on the packet path.
export const EINTR = -4;
export const EIO = -5;
export const EBADF = -9;
export const EAGAIN = -11;
export const EFAULT = -14;
export const EINVAL = -22;
/** The answer of a TUN descriptor whose device was deleted. */
export const EBADFD = -77;
export const ENOTSOCK = -88;
export const EMSGSIZE = -90;
export const ENOBUFS = -105;

const NAMES = new Map(Object.entries(ERRNO).map(([name, number]) => [number, name]));
// Two names for one number each: keep the one the kernel's own documentation uses.
NAMES.set(11, 'EAGAIN').set(95, 'EOPNOTSUPP');

/** `17` -> `EEXIST`; a number without a name is written `E17`. */
export function errnoName(number: number): string {
  return NAMES.get(number) ?? `E${number}`;
}
