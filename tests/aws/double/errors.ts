/** What AWS answers when it refuses: a code and a sentence, as its API and the provider's messages have them. */
export class ApiError extends Error {
  constructor(
    readonly code: string,
    sentence: string,
  ) {
    super(`${code}: ${sentence}`);
    this.name = 'ApiError';
  }
}
