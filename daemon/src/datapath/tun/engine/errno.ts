import { errnoName } from '@flannel-ts/linux/errors';
import { EngineError } from './errors.ts';

// asm-generic/errno-base.h, errno.h
export const EINTR = -4;
export const EIO = -5;
const EBADF = -9;
export const EAGAIN = -11;
const EFAULT = -14;
export const EINVAL = -22;
const EBADFD = -77; // the answer of a TUN descriptor whose device was deleted
const ENOTSOCK = -88;
export const EMSGSIZE = -90;

/** Errors that say that the descriptor is not what it was: nothing but a new engine helps. */
export function isLost(error: number): boolean {
  return error === EBADF || error === EBADFD || error === ENOTSOCK || error === EFAULT;
}

export function lost(attempt: string, error: number): EngineError {
  return new EngineError('DESCRIPTOR_LOST', `Cannot ${attempt} any more (${errnoName(-error)})`);
}
