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
import { applyChanges, type ChangingKernel } from './apply.ts';
import { type Change, describeChange, describeRoute } from './change.ts';
import { ChangeLog } from './change-log.ts';
import type { DesiredLink, DesiredState } from './desired.ts';
import { diffState } from './diff.ts';
import { type ForeignLink, missingTunLinks } from './diff-links.ts';
import { type Conflict, foreignRoutes } from './diff-routes.ts';
import type { Owner } from './owner.ts';

export interface StateKernel extends ChangingKernel {
  read(desired: DesiredState): ActualState;
  /** Removes devices of other backends, and resolves with their names. */
  removeLeftovers(desired: DesiredState): string[];
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
  /** Makes devices of the data path that are missing; the next desired state may name them otherwise. */
  readonly makeLinks: (links: readonly DesiredLink[]) => Promise<void>;
  readonly desired: () => DesiredState;
  /** Told after every pass, with the reason when something is not as desired. */
  readonly onPass: (failure: string | undefined) => void;
  readonly log: Logger;
}

export interface ReconcileTimings {
  /** Between two passes without an event. */
  readonly fullMs: number;
  /** From one pass to the next that an event of the kernel causes: what others change all the time is not compared each time. */
  readonly eventGapMs: number;
}

export const RECONCILE_TIMINGS: ReconcileTimings = { fullMs: 5000, eventGapMs: 100 };

/** In the log, of one pass: a node that joins a large network changes thousands of things. */
const LOGGED_CHANGES = 20;

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
  private passedAt = Number.NEGATIVE_INFINITY;
  private waiting: NodeJS.Timeout | undefined;
  private hasLeftovers = true;
  private readonly changeLog = new ChangeLog();

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
    const unsubscribe = this.parts.onKernelEvent(() => this.onKernelEvent());
    try {
      while (!signal.aborted) {
        const failure = await this.pass();
        const wait = failure === undefined ? this.timings.fullMs : Math.min(this.backoff.take(), this.timings.fullMs);
        await this.bell.wait(wait, signal);
      }
    } finally {
      unsubscribe();
      clearTimeout(this.waiting);
    }
  }

  /** One comparison and what follows from it. Resolves with the reason when something could not be put right. */
  async pass(): Promise<string | undefined> {
    const failure = await this.repair().catch((error: unknown) => messageOf(error));
    this.passedAt = performance.now();
    this.counts.passes++;
    if (failure !== undefined) this.counts.failedPasses++;
    this.report(failure);
    this.parts.onPass(failure);
    return failure;
  }

  /** The first one rings at once. */
  private onKernelEvent(): void {
    const wait = this.passedAt + this.timings.eventGapMs - performance.now();
    if (wait <= 0) this.bell.ring();
    else {
      this.waiting ??= setTimeout(() => {
        this.waiting = undefined;
        this.bell.ring();
      }, wait);
    }
  }

  private async repair(): Promise<string | undefined> {
    const { kernel, owner, ownSubnets, beforePass, makeLinks, desired } = this.parts;
    beforePass?.();
    let wanted = desired();
    let actual = kernel.read(wanted);
    const failures: string[] = [];
    const missing = missingTunLinks(wanted, actual);
    if (missing.length > 0) {
      await makeLinks(missing).catch((error: unknown) => failures.push(messageOf(error)));
      wanted = desired();
      actual = kernel.read(wanted);
    }
    const { changes, conflicts, foreignLinks } = diffState(wanted, actual, owner);
    this.logForeign(foreignRoutes(wanted, actual, owner, ownSubnets));
    failures.push(...foreignLinks.map(describeForeignLink), ...conflicts.map(describeConflict));
    const applied = applyChanges(kernel, changes);
    this.counts.changes += applied.done.length;
    this.logChanges(applied.done);
    failures.push(...applied.failures);
    if (failures.length > 0) return briefly(failures);
    if (wanted.complete) this.removeLeftovers(wanted);
    return undefined;
  }

  /** Only now that packets have another way. */
  private removeLeftovers(wanted: DesiredState): void {
    if (!this.hasLeftovers) return;
    for (const name of this.parts.kernel.removeLeftovers(wanted)) {
      this.parts.log.info(`Removed the device ${name} of an earlier flannel`);
    }
    this.hasLeftovers = false;
  }

  private logChanges(changes: readonly Change[]): void {
    const now = performance.now();
    const write = (text: string, key?: string): void => {
      const line = this.changeLog.line(text, now, key);
      if (line !== undefined) this.parts.log.info(`Changed the kernel: ${line}`);
    };
    for (const change of changes.slice(0, LOGGED_CHANGES)) write(describeChange(change));
    const more = changes.length - LOGGED_CHANGES;
    if (more > 0) write(`and ${more} more changes`, 'more');
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

function describeForeignLink({ name, description }: ForeignLink): string {
  return `the device ${name} is not ours but ${description}: remove it with "ip link delete ${name}", or rename it with "ip link set ${name} name NAME"`;
}

/** One sentence, however many peers it is about. */
function briefly(failures: readonly string[]): string {
  const [first, ...more] = failures;
  return more.length === 0 ? first! : `${first}; and ${more.length} more`;
}
