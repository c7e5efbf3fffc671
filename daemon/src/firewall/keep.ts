/** Keeps the masquerade and forward rules: whoever flushes the ruleset (a firewall that restarts) takes ours along. */
import { RulesetGeneration } from '@flannel-ts/nft/generation';
import type { Logger } from 'pino';
import { sleep } from '../abort.ts';
import { messageOf } from '../errors.ts';
import { ensureRules, type Overlay, type WantedRules } from './rules.ts';

export interface FirewallParts {
  readonly overlay: Overlay;
  readonly wanted: WantedRules;
  readonly everyMs: number;
  readonly report: (trouble: string | undefined) => void;
  readonly log: Logger;
}

export async function keepRules(parts: FirewallParts, signal: AbortSignal): Promise<void> {
  const check = new Check(parts, signal);
  try {
    await keep(check, parts, signal);
  } finally {
    check.close();
  }
}

async function keep(check: Check, { wanted, everyMs, report, log }: FirewallParts, signal: AbortSignal): Promise<void> {
  let last: string | undefined;
  while (!signal.aborted) {
    let trouble: string | undefined;
    try {
      if (await check.run()) log.info('Set the firewall rules');
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

/** Looks at the rules only when somebody has changed any since they were found right. */
class Check {
  private ruleset: RulesetGeneration | undefined;
  /** Of the ruleset in which ours were right. */
  private right: number | undefined;

  constructor(
    private readonly parts: FirewallParts,
    private readonly signal: AbortSignal,
  ) {}

  /** True when rules had to be set. */
  async run(): Promise<boolean> {
    this.ruleset ??= new RulesetGeneration();
    const generation = this.ruleset.current();
    if (generation !== undefined && generation === this.right) return false;
    const { overlay, wanted } = this.parts;
    const changed = await ensureRules(overlay, wanted, { signal: this.signal });
    this.right = changed ? undefined : generation;
    return changed;
  }

  close(): void {
    this.ruleset?.close();
  }
}
