export type FlannelErrorCode =
  | 'INVALID_NETWORK_CONFIG'
  | 'UNKNOWN_BACKEND'
  | 'INVALID_LEASE'
  | 'INVALID_SUBNET_ENV'
  | 'INVALID_NETCONF'
  | 'INVALID_ADDRESSING';

export interface ConfigFault {
  /** Path like `Backend.Port`; empty for the text as a whole. */
  readonly key: string;
  /** The sentence without the words that say that it is about a network config. */
  readonly reason: string;
}

/** A network config, lease, subnet file or CNI configuration that cannot be used. The message names the value. */
export class FlannelError extends Error {
  override readonly name = 'FlannelError';

  constructor(
    readonly code: FlannelErrorCode,
    message: string,
    options?: ErrorOptions,
    /** Where in the network config. */
    readonly fault?: ConfigFault,
  ) {
    super(message, options);
  }
}

/** For everything in the network config but the backend; what follows the colon is flannel's own text where it has one. */
export function invalidNetworkConfig(reason: string, key: string): FlannelError {
  const fault = { key, reason };
  return new FlannelError('INVALID_NETWORK_CONFIG', `Invalid network config: ${reason}`, undefined, fault);
}
