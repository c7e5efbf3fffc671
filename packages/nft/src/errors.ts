export type NftErrorCode =
  /** The program nft (or nsenter) is missing. */
  | 'NFT_NOT_FOUND'
  /** The kernel or nft refused the rules; nothing was changed. */
  | 'NFT_REFUSED'
  /** The ruleset was changed by somebody else between reading and writing, again and again. */
  | 'NFT_BUSY'
  /** nft took longer than allowed; whether it changed something is not known. */
  | 'NFT_TIMEOUT'
  /** A name or address that could not be written into a ruleset. */
  | 'INVALID_RULE'
  /** nft printed something that is not a listing. */
  | 'UNREADABLE_LISTING';

/** A command that the kernel refused, with the name of its errno: ENOENT, EEXIST. */
export function isRefusal(error: unknown, ...errnos: readonly string[]): error is NftError {
  return error instanceof NftError && error.code === 'NFT_REFUSED' && errnos.includes(error.errno ?? '');
}

export class NftError extends Error {
  override readonly name = 'NftError';

  constructor(
    readonly code: NftErrorCode,
    message: string,
    options?: ErrorOptions,
    /** Name of the errno where the kernel gave one: `ENOENT`. */
    readonly errno?: string,
  ) {
    super(message, options);
  }
}
