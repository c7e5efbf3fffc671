/** A text or value that is no address, prefix, port or MAC address. The message names the value. */
export class InetError extends Error {
  override readonly name = 'InetError';

  constructor(
    readonly code: 'INVALID_ADDRESS' | 'INVALID_PREFIX' | 'INVALID_PORT' | 'INVALID_MAC',
    message: string,
  ) {
    super(message);
  }
}
