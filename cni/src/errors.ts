/**
 * Codes of the CNI specification 1.1.0 ("Error"), one of containernetworking/cni pkg/types (8), and our own from 100 on.
 * Runtimes show only `msg` and `details`; the code is what tools decide by.
 */
export const ErrorCode = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  ioFailure: 5,
  decodeFailure: 6,
  invalidNetworkConfig: 7,
  invalidNetns: 8,
  tryAgainLater: 11,
  pluginNotAvailable: 50,
  limitedConnectivity: 51,
  internal: 999,
  /** Our own: every address of the node's range is in use. */
  noAddressLeft: 100,
  /** Our own: this container and interface already hold an address. */
  duplicateAllocation: 101,
  /** Our own: CNI_IFNAME exists in the container already. */
  interfaceExists: 102,
  /** Our own: what CHECK found differs from what ADD made. */
  checkFailed: 103,
  /** Our own: the bridge cannot be used as the configuration asks. */
  bridgeConflict: 104,
} as const;
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode] | number;

export class CniError extends Error {
  override readonly name = 'CniError';

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly details = '',
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The errno name (`ENOENT`) or our packages' error code of whatever was thrown. */
export function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}

/** System calls on files, by the names that node:fs and our own FFI give. */
const FILE_CALLS = new Set([
  'open',
  'read',
  'write',
  'close',
  'flock',
  'mkdir',
  'unlink',
  'stat',
  'statfs',
  'scandir',
  'rename',
  'link',
]);

/** Turns anything thrown below into an error of the specification. */
export function toCniError(error: unknown): CniError {
  if (error instanceof CniError) return error;
  const code = codeOf(error);
  const syscall = (error as { syscall?: unknown } | null | undefined)?.syscall;
  if (typeof syscall === 'string' && FILE_CALLS.has(syscall)) {
    return new CniError(ErrorCode.ioFailure, messageOf(error), '', { cause: error });
  }
  if (code === 'ENOMEM' || code === 'ENOBUFS') {
    return new CniError(ErrorCode.tryAgainLater, messageOf(error), '', { cause: error });
  }
  return new CniError(ErrorCode.internal, messageOf(error), '', { cause: error });
}

/** Go's encoding of types.Error (4 spaces, no newline at the end), with the cniVersion that the specification asks for. */
export function formatError(error: CniError, cniVersion: string): string {
  const body: Record<string, unknown> = { cniVersion, code: error.code, msg: error.message };
  if (error.details !== '') body.details = error.details;
  return JSON.stringify(body, undefined, 4);
}
