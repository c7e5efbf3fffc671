/** Keeps the masquerade and forward rules: whoever flushes the ruleset (a firewall that restarts) takes ours along. */
import type { NftOptions } from '@flannel-ts/nft/run';
import type { Logger } from 'pino';
import { sleep } from '../abort.ts';
import { ensureRules, type Overlay, type WantedRules } from '../backend/masquerade.ts';
import { messageOf } from '../errors.ts';

export interface FirewallParts {
  readonly overlay: Overlay;
  readonly wanted: WantedRules;
  readonly everyMs: number;
  readonly report: (trouble: string | undefined) => void;
  readonly log: Logger;
}

export async function keepRules(parts: FirewallParts, signal: AbortSignal): Promise<void> {
  const { overlay, wanted, everyMs, report, log } = parts;
  const options: NftOptions = { signal };
  let last: string | undefined;
  while (!signal.aborted) {
    let trouble: string | undefined;
    try {
      if (await ensureRules(overlay, wanted, options)) log.info('Set the firewall rules');
    } catch (error) {
      if (signal.aborted) return;
      trouble = messageOf(error);
      if (trouble !== last) log.error(`Cannot keep the firewall rules: ${trouble}`);
    }
    last = trouble;
    // Without masquerading pods do not reach the world. The forward rules only say that nothing here objects.
    report(wanted.masquerade ? trouble : undefined);
    // Rules of an earlier start are removed once; nobody else makes them.
    if (trouble === undefined && !wanted.masquerade && !wanted.forward) return;
    await sleep(everyMs, signal);
  }
}
