export type DaemonErrorCode =
  | 'USAGE'
  | 'INVALID_CONFIG'
  | 'UNSUPPORTED_BACKEND'
  | 'NO_INTERFACE'
  | 'OUT_OF_SUBNETS'
  | 'LEASE_TAKEN'
  | 'ETCD'
  | 'ETCD_REVISION_GONE'
  | 'KUBERNETES'
  | 'KERNEL'
  | 'ENGINE'
  | 'TAKE_OVER';

/** An error the operator can act on: the message says what was found and what to do. */
export class DaemonError extends Error {
  override readonly name = 'DaemonError';

  constructor(
    readonly code: DaemonErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** One line for a log or a wrapping message, whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
