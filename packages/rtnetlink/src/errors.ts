import { ERRNO } from '@flannel-ts/linux/errno';
import { errnoText } from '@flannel-ts/linux/errors';

/**
 * An operation that the kernel refused, or a reply that is no netlink.
 * The message reads `Cannot add route 10.1.0.0/16: Nexthop has invalid gateway (ENETUNREACH)`.
 */
export class NetlinkError extends Error {
  override readonly name: string = 'NetlinkError';
  /** Positive errno, 0 if `code` has no number. */
  readonly errno: number;

  /**
   * @param code name of the errno, e.g. `EEXIST`
   * @param operation what was tried, to be read after "Cannot"
   * @param detail why it failed, when it is us who say so
   * @param extack why it failed, in the kernel's own words (NLMSGERR_ATTR_MSG)
   */
  constructor(
    readonly code: string,
    readonly operation: string,
    detail?: string,
    readonly extack?: string,
  ) {
    super(`Cannot ${operation}: ${extack ?? detail ?? textOf(code)} (${code})`);
    this.errno = ERRNO[code] ?? 0;
  }
}

/** Links of a kind that this kernel was built without, or whose module is not loaded and cannot be. */
export class MissingLinkKindError extends NetlinkError {
  override readonly name = 'MissingLinkKindError';

  constructor(
    readonly kind: string,
    operation: string,
  ) {
    const remedy = `load it (modprobe ${kind}), or use a kernel that has it`;
    super('EOPNOTSUPP', operation, `this kernel has no ${kind} links, and no module ${kind} at hand: ${remedy}`);
  }
}

/** Whether `error` is a refusal with one of these codes: `isNetlinkError(error, 'EEXIST')`. Without codes: any refusal. */
export function isNetlinkError(error: unknown, ...codes: readonly string[]): error is NetlinkError {
  return error instanceof NetlinkError && (codes.length === 0 || codes.includes(error.code));
}

function textOf(code: string): string {
  const errno = ERRNO[code];
  return errno === undefined ? 'the kernel gave no reason' : errnoText(errno);
}

/** Refuses a message that is shorter than its fixed part. */
export function checkLength(payload: Uint8Array, length: number, operation: string): void {
  if (payload.length >= length) return;
  throw new NetlinkError('EBADMSG', operation, `the message has ${payload.length} bytes instead of ${length}`);
}
