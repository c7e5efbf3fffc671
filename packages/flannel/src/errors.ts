export type FlannelErrorCode =
  | 'INVALID_NETWORK_CONFIG'
  | 'UNKNOWN_BACKEND'
  | 'INVALID_LEASE'
  | 'INVALID_SUBNET_ENV'
  | 'INVALID_NETCONF'
  | 'INVALID_ADDRESSING';

/** A network config, lease, subnet file or CNI configuration that cannot be used. The message names the value. */
export class FlannelError extends Error {
  override readonly name = 'FlannelError';

  constructor(
    readonly code: FlannelErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** For everything in the network config but the backend; what follows the colon is flannel's own text where it has one. */
export function invalidNetworkConfig(message: string): FlannelError {
  return new FlannelError('INVALID_NETWORK_CONFIG', `Invalid network config: ${message}`);
}
