/**
 * When to compare and repair: at a new desired state, after any event of the kernel, and every few seconds in any case.
 * Level-triggered: an event says only "look again", so none that is lost or misread can do harm. flannel acts on its own
 * events alone; a device deleted or taken down by others is never put right (issues 869, 1070, 1434, 1759).
 */
import { formatPrefix, type Prefix } from '@flannel-ts/inet/prefix';
import type { Logger } from 'pino';
import { Backoff, Bell } from '../abort.ts';
import { messageOf } from '../errors.ts';
import type { ActualRoute, ActualState } from './actual.ts';
import type { DesiredLink, DesiredState } from './desired.ts';
import {
  type Change,
  type Conflict,
  describeChange,
  describeRoute,
  diffState,
  foreignRoutes,
  missingLinks,
} from './diff.ts';
import type { Owner } from './owner.ts';

export interface StateKernel {
  read(desired: DesiredState): ActualState;
  apply(change: Change): void;
}

export interface ReconcileParts {
  readonly kernel: StateKernel;
  readonly owner: Owner;
  /** Where routes are pods' business. */
  readonly ownSubnets: readonly Prefix[];
  /** Called before each pass, to look again at what the desired state depends on in the kernel. Bounds its own cost. */
  readonly beforePass?: () => void;
  /** Calls back after changes in the kernel, until the function it returns is called. */
  readonly onKernelEvent: (listener: () => void) => () => void;
  /** Makes devices that are missing; the next desired state may name them otherwise. */
  readonly makeLinks: (links: readonly DesiredLink[]) => Promise<void>;
  readonly desired: () => DesiredState;
  /** Told after every pass, with the reason when something is not as desired. */
  readonly onPass: (failure: string | undefined) => void;
  readonly log: Logger;
}

export interface ReconcileTimings {
  /** Between two passes without an event. */
  readonly fullMs: number;
}

export const RECONCILE_TIMINGS: ReconcileTimings = { fullMs: 5000 };

export interface ReconcileStatistics {
  readonly passes: number;
  readonly failedPasses: number;
  /** Made in the kernel. */
  readonly changes: number;
}

export class Reconciler {
  private counts = { passes: 0, failedPasses: 0, changes: 0 };
  private readonly bell = new Bell();
  private readonly backoff = new Backoff(500, 10_000);
  private lastFailure: string | undefined;
  private foreign: ReadonlySet<string> = new Set();

  constructor(
    private readonly parts: ReconcileParts,
    private readonly timings: ReconcileTimings = RECONCILE_TIMINGS,
  ) {}

  get statistics(): ReconcileStatistics {
    return this.counts;
  }

  /** Asks for a pass now: the desired state is another. */
  trigger(): void {
    this.bell.ring();
  }

  /** Until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const unsubscribe = this.parts.onKernelEvent(() => this.bell.ring());
    try {
      while (!signal.aborted) {
        const failure = await this.pass();
        const wait = failure === undefined ? this.timings.fullMs : Math.min(this.backoff.take(), this.timings.fullMs);
        await this.bell.wait(wait, signal);
      }
    } finally {
      unsubscribe();
    }
  }

  /** One comparison and what follows from it. Resolves with the reason when something could not be put right. */
  async pass(): Promise<string | undefined> {
    const failure = await this.repair().catch((error: unknown) => messageOf(error));
    this.counts.passes++;
    if (failure !== undefined) this.counts.failedPasses++;
    this.report(failure);
    this.parts.onPass(failure);
    return failure;
  }

  private async repair(): Promise<string | undefined> {
    const { kernel, owner, ownSubnets, beforePass, makeLinks, desired, log } = this.parts;
    beforePass?.();
    let wanted = desired();
    let actual = kernel.read(wanted);
    const missing = missingLinks(wanted, actual);
    if (missing.length > 0) {
      await makeLinks(missing);
      wanted = desired();
      actual = kernel.read(wanted);
    }
    const { changes, conflicts } = diffState(wanted, actual, owner);
    this.logForeign(foreignRoutes(wanted, actual, owner, ownSubnets));
    const failures = conflicts.map(describeConflict);
    for (const change of changes) {
      try {
        kernel.apply(change);
        this.counts.changes++;
        log.info(`Changed the kernel: ${describeChange(change)}`);
      } catch (error) {
        // The others may still succeed, and this one at the next pass.
        failures.push(messageOf(error));
      }
    }
    return failures.length > 0 ? briefly(failures) : undefined;
  }

  /** Each once, as long as it is there. */
  private logForeign(routes: readonly ActualRoute[]): void {
    const now = new Set(routes.map(describeRoute));
    for (const route of now) {
      if (!this.foreign.has(route))
        this.parts.log.warn(`A route that is not ours takes packets of the overlay: ${route}`);
    }
    this.foreign = now;
  }

  private report(failure: string | undefined): void {
    if (failure === undefined) this.backoff.reset();
    if (failure !== this.lastFailure) {
      if (failure !== undefined) this.parts.log.error(`Not all is as it should be, trying again: ${failure}`);
      else this.parts.log.info('All is as it should be again');
    }
    this.lastFailure = failure;
  }
}

function describeConflict({ wanted, foreign }: Conflict): string {
  const route = describeRoute(foreign);
  return `the route of ${formatPrefix(wanted.dst)} is not ours but ${route} (protocol ${foreign.protocol}): remove it with "ip route delete ${route}"`;
}

/** One sentence, however many peers it is about. */
function briefly(failures: readonly string[]): string {
  const [first, ...more] = failures;
  return more.length === 0 ? first! : `${first}; and ${more.length} more`;
}
