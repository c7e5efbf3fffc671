import type { StartEngine } from '../engine.ts';
import { startWorkerEngine } from '../worker-engine.ts';

/**
 * The engine for production: super-packets from and to the device, many packets per system call on the socket, no copy of
 * payload. It takes a device with or without virtio header and uses what the kernel offers; behaves as the reference engine.
 */
export const startFastEngine: StartEngine = (config, signal) => startWorkerEngine('engine-fast', config, signal);
