/**
 * When to compare and repair: at a new desired state, after any event of the kernel, and every few seconds in any case.
 * Level-triggered: an event says only "look again", so none that is lost or misread can do harm. flannel acts on its own
 * events alone; a device deleted or taken down by others is never put right (issues 869, 1070, 1434, 1759).
 */
import type { Logger } from 'pino';
import { Backoff, Bell } from '../abort.ts';
import { messageOf } from '../errors.ts';
import type { DesiredLink, DesiredState } from './desired.ts';
import { type ActualState, type Change, describeChange, diffState, missingLinks } from './diff.ts';

export interface StateKernel {
  read(desired: DesiredState): ActualState;
  apply(change: Change): void;
}

export interface ReconcileParts {
  readonly kernel: StateKernel;
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
    const { kernel, makeLinks, desired, log } = this.parts;
    const missing = missingLinks(desired(), kernel.read(desired()));
    if (missing.length > 0) await makeLinks(missing);
    const wanted = desired();
    const failures: string[] = [];
    for (const change of diffState(wanted, kernel.read(wanted))) {
      try {
        kernel.apply(change);
        this.counts.changes++;
        log.info(`Changed the kernel: ${describeChange(change)}`);
      } catch (error) {
        // The others may still succeed, and this one at the next pass.
        failures.push(messageOf(error));
      }
    }
    return failures.length > 0 ? failures.join('; ') : undefined;
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
