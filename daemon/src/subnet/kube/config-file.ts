/** The network config in a file, which in a pod is a key of a config map. */
import { readFileSync } from 'node:fs';
import { type NetworkConfig, parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import type { Logger } from 'pino';
import { sleep } from '../../abort.ts';
import { messageOf } from '../../errors.ts';
import { ConfigComplaints } from '../config-complaints.ts';
import type { ReportConfig } from '../manager.ts';

/**
 * The present config, and each later valid one. Looked at now and then: kubelet exchanges a link above the file, which a watch
 * on the file does not show.
 */
export async function* followConfigFile(
  file: string,
  everyMs: number,
  log: Logger,
  signal: AbortSignal,
  report?: ReportConfig,
): AsyncGenerator<{ readonly config: NetworkConfig; readonly text: string }> {
  let last: string | undefined;
  const complaints = new ConfigComplaints({ file }, log, report);
  let known = false;
  for (; !signal.aborted; await sleep(everyMs, signal)) {
    try {
      const text = readFileSync(file, 'utf8');
      if (text === last) continue;
      last = text;
      const config = parseNetworkConfig(text);
      known = true;
      complaints.over();
      yield { config, text };
    } catch (error) {
      complaints.say(known, messageOf(error), {
        sentence: `the network config in ${file} cannot be used: ${messageOf(error)}`,
        remedy: `flanneld config check ${file}`,
      });
      last = undefined; // it may come back as it was
    }
  }
}
