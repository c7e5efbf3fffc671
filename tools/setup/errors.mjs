/** An error that is told to the user as one sentence, without a stack trace. */
export class ToolError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {{exitCode?: number, cause?: unknown}} [options]
   */
  constructor(code, message, { exitCode = 1, cause } = {}) {
    super(message, { cause });
    this.name = 'ToolError';
    this.code = code;
    this.exitCode = exitCode;
  }
}

/** Wrong usage: exit code 2. */
export class UsageError extends ToolError {
  /** @param {string} message */
  constructor(message) {
    super('USAGE', message, { exitCode: 2 });
    this.name = 'UsageError';
  }
}
