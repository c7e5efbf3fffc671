export type NftErrorCode =
  /** The program nft (or nsenter) is missing. */
  | 'NFT_NOT_FOUND'
  /** The kernel or nft refused the rules; nothing was changed. */
  | 'NFT_REFUSED'
  /** nft took longer than allowed; whether it changed something is not known. */
  | 'NFT_TIMEOUT'
  /** A name or address that could not be written into a ruleset. */
  | 'INVALID_RULE'
  /** nft printed something that is not a listing. */
  | 'UNREADABLE_LISTING';

export class NftError extends Error {
  override readonly name = 'NftError';

  constructor(
    readonly code: NftErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
