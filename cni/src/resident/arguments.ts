/** The one argument of the resident process. */
export const RESIDENT = '--resident';
/** The descriptor of its lock. */
export const LOCK_FD = 3;
