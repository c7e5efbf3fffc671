/**
 * Whether this node serves, and if not, why: each part reports its own trouble. Unlike flannel's /readyz, which is said once and
 * never taken back, it may become false again. Times are of a monotonic clock.
 */
import type { Logger } from 'pino';

export interface Trouble {
  readonly part: string;
  /** One sentence: what is wrong, and what to do. */
  readonly trouble: string;
  /** What to begin with, where the part alone does not tell. */
  readonly remedy?: string | undefined;
  readonly sinceMs: number;
}

interface Entry {
  readonly trouble: string;
  readonly remedy: string | undefined;
  readonly since: number;
}

/** A part that comes and goes all the time does not fill the log. */
const MOST_LINES = 6;
const LINES_PER_MS = 60_000;

export class Readiness {
  private readonly troubles = new Map<string, Entry>();
  private readonly notes = new Map<string, string>();
  private wasReady = false;
  private stopping = false;
  private waiting: { readonly parts: readonly string[]; readonly resolve: () => void }[] = [];
  private lines: number[] = [];
  private unlogged = 0;

  constructor(
    private readonly parts: readonly string[],
    private readonly log: Logger,
    private readonly now: () => number = () => performance.now(),
  ) {
    for (const part of parts) this.troubles.set(part, { trouble: 'not yet started', remedy: undefined, since: now() });
  }

  /** Undefined: this part is well. */
  report(part: string, trouble: string | undefined, remedy?: string): void {
    if (trouble === undefined) this.troubles.delete(part);
    else this.troubles.set(part, { trouble, remedy, since: this.troubles.get(part)?.since ?? this.now() });
    this.announce();
    this.release();
  }

  /** Something to know that is no reason not to be ready; undefined: no more. */
  note(part: string, text: string | undefined): void {
    if (text === undefined) this.notes.delete(part);
    else this.notes.set(part, text);
  }

  /** Parts stop one after the other from now on, which is no news. */
  stop(): void {
    this.stopping = true;
  }

  /** What was stopped begins again. */
  restart(): void {
    this.stopping = false;
    this.announce();
  }

  /** Resolves when these parts are well at the same time, or with the signal. */
  async untilWell(parts: readonly string[], signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    await new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true });
      this.waiting.push({ parts, resolve });
      this.release();
    });
  }

  get ready(): boolean {
    return this.troubles.size === 0;
  }

  /** Each part, and whether it is well. */
  get state(): readonly (readonly [string, boolean])[] {
    return this.parts.map((part) => [part, !this.troubles.has(part)]);
  }

  get present(): readonly Trouble[] {
    const now = this.now();
    return [...this.troubles].map(([part, { trouble, remedy, since }]) => ({
      part,
      trouble,
      ...(remedy !== undefined && { remedy }),
      sinceMs: now - since,
    }));
  }

  /** Lines like "reach: 1 of 5 other nodes does not answer". */
  get details(): readonly string[] {
    return [...this.notes].map(([part, text]) => `${part}: ${text}`);
  }

  /** Lines like "engine: died (for 12 s)". */
  get reasons(): readonly string[] {
    return this.present.map(
      ({ part, trouble, sinceMs }) => `${part}: ${trouble} (for ${Math.round(sinceMs / 1000)} s)`,
    );
  }

  private announce(): void {
    if (this.ready === this.wasReady || this.stopping) return;
    this.wasReady = this.ready;
    this.logChange();
  }

  private logChange(): void {
    const now = this.now();
    this.lines = this.lines.filter((at) => now - at < LINES_PER_MS);
    if (this.lines.length >= MOST_LINES) {
      this.unlogged++;
      return;
    }
    this.lines.push(now);
    const before = this.unlogged > 0 ? ` (it changed ${this.unlogged} times since the last line)` : '';
    this.unlogged = 0;
    if (this.ready) this.log.info(`Ready${before}`);
    else {
      const why = this.present.map(({ part, trouble }) => `${part}: ${trouble}`).join('; ');
      this.log.warn(`Not ready${before}: ${why}`);
    }
  }

  private release(): void {
    const isWell = ({ parts }: { readonly parts: readonly string[] }) => !parts.some((part) => this.troubles.has(part));
    const released = this.waiting.filter(isWell);
    this.waiting = this.waiting.filter((entry) => !released.includes(entry));
    for (const { resolve } of released) resolve();
  }
}
