/** One table of what goes wrong; `cause` is the system call's error, where there was one. */
export const BPF_ERRORS = {
  INVALID: 'a program, map or argument that no kernel would take',
  REJECTED: 'the verifier of the kernel refuses the program; `log` is what it says',
  NOT_PERMITTED: 'a capability is missing, or the kernel is locked down',
  NOT_SUPPORTED: 'this kernel does not have it',
  FULL: 'the map has no room',
  NO_BPFFS: 'a path to pin at is not in a BPF file system',
  FAILED: 'anything else, as the kernel said it',
} as const;

export type BpfErrorCode = keyof typeof BPF_ERRORS;

export class BpfError extends Error {
  override readonly name: string = 'BpfError';

  constructor(
    readonly code: BpfErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Where the verifier stopped, in the words of the program's source. */
export interface RejectedPlace {
  /** The label before the instruction, and how many instructions after it: `parse+3`. */
  readonly at: string;
  readonly instruction: string;
}

export class VerifierError extends BpfError {
  override readonly name = 'VerifierError';

  constructor(
    program: string,
    readonly reason: string,
    readonly place: RejectedPlace | undefined,
    readonly log: string,
    options?: ErrorOptions,
  ) {
    const where = place === undefined ? '' : ` at ${place.at} (${place.instruction})`;
    super('REJECTED', `The kernel rejects program ${program}${where}: ${reason}`, options);
  }
}
