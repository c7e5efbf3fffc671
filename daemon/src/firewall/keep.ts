/**
 * Keeps our rules while others change the ruleset: a firewall that restarts flushes it, Docker sets a policy. Two loops: our own
 * tables, and what tables of others do to forwarded packets and to those of other nodes.
 */
import type { Family } from '@flannel-ts/inet/family';
import { RulesetGeneration } from '@flannel-ts/nft/generation';
import type { Logger } from 'pino';
import { sleep } from '../abort.ts';
import { messageOf } from '../errors.ts';
import { runTogether } from '../tasks.ts';
import { ensureRules } from './apply.ts';
import { changeForward, readForeignTables, removeLeftovers } from './foreign.ts';
import { type ForwardChange, planForward } from './forward.ts';
import { type InputQuestion, judgeInput } from './input.ts';
import { planLeftovers } from './leftovers.ts';
import type { PlacedTables } from './place.ts';
import { networksOf, type Overlay, ownTable, type WantedRules } from './rules.ts';

export interface FirewallParts {
  readonly overlay: Overlay;
  readonly wanted: WantedRules;
  /** EnableNFTables of the network config: tables of iptables are not written to. */
  readonly nftablesOnly: boolean;
  /** Networks that this node had before, as text. */
  readonly previous: readonly string[];
  /** Name of the device by which packets of the family reach other nodes' pods, now; undefined while there is none. */
  readonly device: (family: Family) => string | undefined;
  /** What other nodes send to this one, now. */
  readonly input: () => InputQuestion;
  readonly everyMs: number;
  /** Of our own tables. */
  readonly report: (trouble: string | undefined) => void;
  /** Of forwarding: what is certain, and what may be. */
  readonly reportForward: (trouble: string | undefined, doubt: string | undefined) => void;
  /** Of what other nodes send. */
  readonly reportInput: (trouble: string | undefined, doubt: string | undefined) => void;
  readonly log: Logger;
}

export async function keepFirewall(parts: FirewallParts, signal: AbortSignal): Promise<void> {
  await removeOldRules(parts, signal);
  await runTogether([(stop) => keepRules(parts, stop), (stop) => watchOthers(parts, stop)], signal);
}

async function removeOldRules({ overlay, previous, log }: FirewallParts, signal: AbortSignal): Promise<void> {
  const networks = [...networksOf(overlay), ...previous];
  try {
    const own = new Set(networks.map((network) => ownTable(network).name));
    const placed = (await readForeignTables({ signal })).map(({ place, tables }): PlacedTables => {
      return { place, tables: tables.filter(({ name }) => !own.has(name)) };
    });
    const leftovers = planLeftovers(placed, networks);
    await removeLeftovers(leftovers, { signal });
    for (const name of leftovers.names) log.info(`Removed rules that an earlier flannel left: ${name}`);
  } catch (error) {
    if (!signal.aborted) log.warn(`Cannot look for rules that an earlier flannel left: ${messageOf(error)}`);
  }
}

async function keepRules(parts: FirewallParts, signal: AbortSignal): Promise<void> {
  const { overlay, wanted, previous, everyMs, report, log } = parts;
  const ruleset = new RulesetWatch();
  const told = new Told((trouble) => log.error(`Cannot keep the firewall rules: ${trouble}`));
  try {
    while (!signal.aborted) {
      const start = performance.now();
      let trouble: string | undefined;
      try {
        const changed = await ruleset.ifChanged(() => ensureRules(overlay, wanted, { signal, previous }));
        if (changed) log.info(`Set the firewall rules, in nftables ${describeTables(overlay)}`);
      } catch (error) {
        if (signal.aborted) return;
        trouble = messageOf(error);
      }
      told.say(trouble);
      // Without masquerading pods do not reach the world. Our own forward chain drops nothing, and saves nothing.
      report(wanted.masquerade ? trouble : undefined);
      // Rules of an earlier start are removed once; nobody else makes them.
      if (trouble === undefined && !wanted.masquerade && !wanted.forward) return;
      await sleep(Math.min(everyMs, ruleset.patience(everyMs, performance.now() - start)), signal);
    }
  } finally {
    ruleset.close();
  }
}

async function watchOthers(parts: FirewallParts, signal: AbortSignal): Promise<void> {
  const { overlay, wanted, nftablesOnly, device, input, everyMs, reportForward, reportInput, log } = parts;
  const mayInsert = wanted.forward && !nftablesOnly;
  const told = new Told((trouble) => log.warn(trouble));
  const toldInput = new Told((trouble) => log.warn(trouble));
  const unreadable = new Told((trouble) => log.warn(`Cannot see whether firewall rules drop packets: ${trouble}`));
  const ruleset = new RulesetWatch();
  let before: readonly PlacedTables[] = [];
  try {
    while (!signal.aborted) {
      const start = performance.now();
      try {
        before = await ruleset.read(before, (known) => readForeignTables({ signal }, known));
        const plan = planForward(before, { overlay, device, mayInsert });
        if (plan.changes.length > 0) {
          await changeForward(plan.changes, { signal });
          log.info(`Accepted pods' packets in ${describeChanges(plan.changes)}, which would drop them`);
        }
        const arriving = judgeInput(before, input());
        unreadable.say(undefined);
        told.say(plan.troubles[0] ?? plan.doubts[0]);
        toldInput.say(arriving.troubles[0] ?? arriving.doubts[0]);
        reportForward(joined(plan.troubles), joined(plan.doubts));
        reportInput(joined(arriving.troubles), joined(arriving.doubts));
      } catch (error) {
        if (signal.aborted) return;
        unreadable.say(messageOf(error));
        const unknown = `cannot see whether firewall rules drop packets: ${messageOf(error)}`;
        reportForward(undefined, unknown);
        reportInput(undefined, unknown);
      }
      await sleep(ruleset.patience(everyMs, performance.now() - start), signal);
    }
  } finally {
    ruleset.close();
  }
}

/** A large ruleset takes long to list: the next look waits this many times as long. */
const PAUSE_FACTOR = 20;
/** Also on a machine that is busy with something else. */
const MOST_PAUSE_MS = 15_000;
/** To ask whether it has changed at all is one message to the kernel. */
const ASK_EVERY_MS = 1000;

/** Says a trouble once, until it is another. */
class Told {
  private last: string | undefined;
  constructor(private readonly log: (trouble: string) => void) {}

  say(trouble: string | undefined): void {
    if (trouble !== undefined && trouble !== this.last) this.log(trouble);
    this.last = trouble;
  }
}

/** Asks nft only when somebody has changed a rule. */
class RulesetWatch {
  private ruleset: RulesetGeneration | undefined;
  /** In which all was found as it should be. */
  private seen: number | undefined;

  /** `run` says whether it changed something; then it is asked again next time. */
  async ifChanged(run: () => Promise<boolean>): Promise<boolean> {
    const generation = this.generation();
    if (generation !== undefined && generation === this.seen) return false;
    const changed = await run();
    this.seen = changed ? undefined : generation;
    return changed;
  }

  /** `known` is what nft said before, if that still holds. */
  async read(
    before: readonly PlacedTables[],
    run: (known: readonly PlacedTables[] | undefined) => Promise<readonly PlacedTables[]>,
  ): Promise<readonly PlacedTables[]> {
    const generation = this.generation();
    const placed = await run(generation !== undefined && generation === this.seen ? before : undefined);
    this.seen = generation;
    return placed;
  }

  /** Until the next look, after one that took so long. */
  patience(everyMs: number, tookMs: number): number {
    const least = this.seen === undefined ? everyMs : Math.min(everyMs, ASK_EVERY_MS);
    return Math.max(least, Math.min(tookMs * PAUSE_FACTOR, MOST_PAUSE_MS));
  }

  close(): void {
    this.ruleset?.close();
  }

  private generation(): number | undefined {
    this.ruleset ??= new RulesetGeneration();
    return this.ruleset.current();
  }
}

function describeTables(overlay: Overlay): string {
  return networksOf(overlay)
    .map(ownTable)
    .map(({ family, name }) => `table ${family} ${name}`)
    .join(' and ');
}

function describeChanges(changes: readonly ForwardChange[]): string {
  const places = changes.map(
    ({ place, rule }) => `${place === 'legacy' ? 'legacy ' : ''}${rule.family} filter FORWARD`,
  );
  return [...new Set(places)].join(' and ');
}

function joined(sentences: readonly string[]): string | undefined {
  return sentences.length > 0 ? sentences.join('; ') : undefined;
}
