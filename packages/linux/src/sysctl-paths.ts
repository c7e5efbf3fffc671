/** Kernel parameters as files. No FFI here: who makes a pod has to know it, too. */
export const SYSCTL = '/proc/sys';
/** Where a container that is not privileged gets the host's /proc/sys/net, of which it sees its own network's. */
export const WRITABLE_SYSCTL = '/host/proc/sys/net';
