/** A device that cannot be opened or set up; `cause` is the SystemError of the call that failed, where there was one. */
export class TunTapError extends Error {
  override readonly name = 'TunTapError';

  constructor(
    readonly code: 'INVALID_NAME' | 'NO_DRIVER' | 'NOT_PERMITTED' | 'BUSY' | 'EXISTS' | 'UNSUPPORTED' | 'FAILED',
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
