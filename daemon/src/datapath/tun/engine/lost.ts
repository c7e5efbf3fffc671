import { EBADF, EBADFD, EFAULT, ENOTSOCK, errnoName } from '@flannel-ts/linux/errno';
import { EngineError } from './errors.ts';

/** Errors that say that the descriptor is not what it was: nothing but a new engine helps. */
export function isLost(error: number): boolean {
  return error === EBADF || error === EBADFD || error === ENOTSOCK || error === EFAULT;
}

export function lost(attempt: string, error: number): EngineError {
  return new EngineError('DESCRIPTOR_LOST', `Cannot ${attempt} any more (${errnoName(-error)})`);
}
