export type InfraErrorCode =
  | 'INVALID_CONFIG'
  | 'VPC_TOO_SMALL'
  | 'VPC_SIZE'
  | 'ADDRESS_CONFLICT'
  | 'ZONES'
  | 'ARTIFACT_MISSING'
  | 'ARTIFACT_MISMATCH'
  | 'ARTIFACT_ARCHITECTURE'
  | 'BUILD_MISSING'
  | 'COMMAND_FAILED'
  | 'AWS'
  | 'NOT_READY'
  | 'CNI_FAILED'
  | 'STILL_RUNNING'
  | 'INTERRUPTED'
  | 'PORT_TAKEN'
  | 'USER_DATA_TOO_LARGE';

/** Why the infrastructure cannot be what its settings ask for. */
export class InfraError extends Error {
  override readonly name = 'InfraError';

  constructor(
    readonly code: InfraErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
