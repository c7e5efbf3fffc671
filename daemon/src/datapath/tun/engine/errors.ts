/** The engine could not start, or died. `failed` of an engine resolves with one of these. */
export class EngineError extends Error {
  override readonly name = 'EngineError';

  constructor(
    readonly code:
      | 'START_FAILED'
      | 'ABORTED'
      | 'STOPPED'
      | 'WORKER_DIED'
      | 'STUCK'
      | 'UNSTOPPABLE'
      | 'DESCRIPTOR_LOST'
      | 'TOO_MANY_ROUTES',
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
