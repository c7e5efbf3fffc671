/**
 * Whether this node serves, and if not, why: each part reports its own trouble. Other than flannel's /readyz, which is said
 * once and never taken back, it may become false again.
 */
import type { Logger } from 'pino';

export class Readiness {
  private readonly troubles = new Map<string, string>();
  private wasReady = false;
  private onReady: (() => void) | undefined;
  private waiting: { readonly parts: readonly string[]; readonly resolve: () => void }[] = [];

  constructor(
    private readonly parts: readonly string[],
    private readonly log: Logger,
  ) {
    for (const part of parts) this.troubles.set(part, 'not yet started');
  }

  /** Undefined: this part is well. */
  report(part: string, trouble: string | undefined): void {
    if (trouble === undefined) this.troubles.delete(part);
    else this.troubles.set(part, trouble);
    this.announce();
    this.release();
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

  /** Called once, when everything is well for the first time. */
  whenReady(run: () => void): void {
    this.onReady = run;
    if (this.wasReady) this.runOnce();
  }

  get ready(): boolean {
    return this.troubles.size === 0;
  }

  /** Each part, and whether it is well. */
  get state(): readonly (readonly [string, boolean])[] {
    return this.parts.map((part) => [part, !this.troubles.has(part)]);
  }

  /** Lines like "engine: died". */
  get reasons(): readonly string[] {
    return [...this.troubles].map(([part, trouble]) => `${part}: ${trouble}`);
  }

  private announce(): void {
    if (this.ready === this.wasReady) return;
    this.wasReady = this.ready;
    if (this.ready) this.log.info('Ready');
    else this.log.warn(`Not ready: ${this.reasons.join('; ')}`);
    if (this.ready) this.runOnce();
  }

  private release(): void {
    const isWell = ({ parts }: { readonly parts: readonly string[] }) => !parts.some((part) => this.troubles.has(part));
    const released = this.waiting.filter(isWell);
    this.waiting = this.waiting.filter((entry) => !released.includes(entry));
    for (const { resolve } of released) resolve();
  }

  private runOnce(): void {
    const run = this.onReady;
    this.onReady = undefined;
    run?.();
  }
}
