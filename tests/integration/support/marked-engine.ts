/** The reference engine, which says on standard error when it is started. */
import type { StartEngine } from '../../../daemon/src/datapath/tun/engine/engine.ts';
import { startReferenceEngine as start } from '../../../daemon/src/datapath/tun/engine/reference/engine';

export const startReferenceEngine: StartEngine = (config, signal) => {
  process.stderr.write('The reference engine was asked for\n');
  return start(config, signal);
};
