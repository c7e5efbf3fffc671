import type { StartEngine } from '../engine.ts';
import { startWorkerEngine } from '../worker-engine.ts';

/**
 * The engine to compare others with: one packet per system call, no offloads; flannel's behaviour plus what a
 * router must do (longest prefix, ICMP errors), and a check of where packets come from.
 */
export const startReferenceEngine: StartEngine = (config, signal) =>
  startWorkerEngine('engine-reference', config, signal);
