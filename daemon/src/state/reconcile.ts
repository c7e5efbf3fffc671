/**
 * When to compare and repair: at the start, after any event of the kernel, and every few seconds in any case. Between two comparisons a
 * change of the leases is carried out by itself: it takes as long as it is large, not as long as the network is.
 * Level-triggered: an event says only "look again", so none that is lost or misread can do harm. flannel acts on its own
 * events alone; a device deleted or taken down by others is never put right (issues 869, 1070, 1434, 1759).
 */
import { formatPrefix, type Prefix } from '@flannel-ts/inet/prefix';
import type { Logger } from 'pino';
import { Backoff, Bell } from '../abort.ts';
import { messageOf } from '../errors.ts';
import type { ActualRoute, ActualState } from './actual.ts';
import { applyChanges, type ChangingKernel } from './apply.ts';
import { type Change, deleteRouteCommand, describeChange, describeRoute } from './change.ts';
import { ChangeLog } from './change-log.ts';
import type { DesiredLink, DesiredState } from './desired.ts';
import { diffState } from './diff.ts';
import { diffDesired } from './diff-desired.ts';
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
  /** Removes what data paths have left, once packets have another way; the names of their devices. */
  readonly clearDataPaths?: () => readonly string[];
  readonly desired: () => DesiredState;
  /** Told at every pass of the routes of others inside the networks. */
  readonly onForeign?: (routes: readonly ActualRoute[]) => void;
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

/** Passes that events cause take at most this part of the time, in a network of thousands of nodes: */
const EVENT_SHARE = 1 / 10;
/** but what an event tells of is repaired within this time. */
const MOST_EVENT_GAP_MS = 1500;
/** Passes without any cause take at most this part of the time. */
const IDLE_SHARE = 1 / 50;
const MOST_IDLE_GAP_MS = 60_000;

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
  /** How long the last pass took. */
  private passMs = 0;
  /** The next pass compares with the kernel. */
  private isDue = true;
  /** What the kernel was left as, by the last pass that left nothing to do. */
  private settled: DesiredState | undefined;
  private hasLeftovers = true;
  private readonly changeLog = new ChangeLog();

  constructor(
    private readonly parts: ReconcileParts,
    private readonly timings: ReconcileTimings = RECONCILE_TIMINGS,
  ) {}

  get statistics(): ReconcileStatistics {
    return this.counts;
  }

  /** Asks for a comparison now. */
  trigger(): void {
    this.isDue = true;
    this.bell.ring();
  }

  /** Asks for what the leases have changed in the desired state. */
  leasesChanged(): void {
    this.bell.ring();
  }

  /** Until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const unsubscribe = this.parts.onKernelEvent(() => this.onKernelEvent());
    try {
      while (!signal.aborted) {
        const failure = !this.isDue && this.follow() ? undefined : await this.pass();
        // From the last comparison on, however often the leases change.
        const due = this.passedAt + this.patience(failure);
        await this.bell.wait(Math.max(0, due - performance.now()), signal);
        if (performance.now() >= due) this.isDue = true;
      }
    } finally {
      unsubscribe();
      clearTimeout(this.waiting);
    }
  }

  /** One comparison and what follows from it. Resolves with the reason when something could not be put right. */
  async pass(): Promise<string | undefined> {
    const startedAt = performance.now();
    this.isDue = false;
    this.settled = undefined;
    const failure = await this.repair().catch((error: unknown) => messageOf(error));
    this.passedAt = performance.now();
    this.passMs = this.passedAt - startedAt;
    if (failure !== undefined) this.isDue = true;
    this.counts.passes++;
    if (failure !== undefined) this.counts.failedPasses++;
    this.report(failure);
    this.parts.onPass(failure);
    return failure;
  }

  private patience(failure: string | undefined): number {
    const { fullMs } = this.timings;
    if (failure !== undefined) return Math.min(this.backoff.take(), fullMs);
    return Math.max(fullMs, Math.min(this.passMs / IDLE_SHARE, MOST_IDLE_GAP_MS));
  }

  /** The first one rings at once. */
  private onKernelEvent(): void {
    const gap = Math.max(this.timings.eventGapMs, Math.min(this.passMs / EVENT_SHARE, MOST_EVENT_GAP_MS));
    const wait = this.passedAt + gap - performance.now();
    if (wait <= 0) this.trigger();
    else {
      this.waiting ??= setTimeout(() => {
        this.waiting = undefined;
        this.trigger();
      }, wait);
    }
  }

  /** What differs from what the kernel was left as, if that is known. False: only a comparison can tell. */
  private follow(): boolean {
    const { kernel, owner, desired, onPass } = this.parts;
    const wanted = desired();
    const changes = this.settled && diffDesired(this.settled, wanted, owner);
    if (changes === undefined) return false;
    this.settled = undefined;
    const applied = applyChanges(kernel, changes);
    this.counts.changes += applied.done.length;
    this.logChanges(applied.done);
    if (applied.failures.length > 0) return false;
    this.settled = wanted;
    onPass(undefined);
    return true;
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
    const foreign = foreignRoutes(wanted, actual, owner, ownSubnets);
    this.parts.onForeign?.(foreign);
    this.logForeign(foreign);
    failures.push(...foreignLinks.map(describeForeignLink), ...conflicts.map(describeConflict));
    const applied = applyChanges(kernel, changes);
    this.counts.changes += applied.done.length;
    this.logChanges(applied.done);
    failures.push(...applied.failures);
    if (failures.length > 0) return briefly(failures);
    if (wanted.complete) {
      this.removeLeftovers(wanted);
      this.settled = wanted;
    }
    return undefined;
  }

  /** Only now that packets have another way. */
  private removeLeftovers(wanted: DesiredState): void {
    if (!this.hasLeftovers) return;
    const { kernel, clearDataPaths = () => [] } = this.parts;
    for (const name of [...kernel.removeLeftovers(wanted), ...clearDataPaths()]) {
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
  return `the route of ${formatPrefix(wanted.dst)} is not ours but ${route} (protocol ${foreign.protocol}): remove it with "${deleteRouteCommand(foreign)}"`;
}

function describeForeignLink({ name, description }: ForeignLink): string {
  return `the device ${name} is not ours but ${description}: remove it with "ip link delete ${name}", or rename it with "ip link set ${name} name NAME"`;
}

/** One sentence, however many peers it is about. */
function briefly(failures: readonly string[]): string {
  const [first, ...more] = failures;
  return more.length === 0 ? first! : `${first}; and ${more.length} more`;
}
