/** Asks again and again, often at first and then less, until there is an answer or the time is over. */
import { setTimeout as sleep } from 'node:timers/promises';
import { InfraError } from '../errors.ts';

export interface PollOptions {
  readonly signal?: AbortSignal;
  /** The longest time between two questions. */
  readonly mostMs?: number;
}

const FIRST_MS = 250;
const MOST_MS = 5000;
const GROWTH = 1.5;

export class Poll {
  private readonly deadline: number;
  private waitMs: number;

  constructor(
    seconds: number,
    private readonly options: PollOptions = {},
  ) {
    this.deadline = Date.now() + seconds * 1000;
    this.waitMs = this.first;
  }

  /** The first answer that is one; `late` says what was waited for. */
  async until<T>(ask: () => Promise<T | undefined>, late: string): Promise<T> {
    this.waitMs = this.first;
    for (;;) {
      const answer = await ask();
      if (answer !== undefined) return answer;
      await this.pause(late);
    }
  }

  async pause(late: string): Promise<void> {
    if (Date.now() > this.deadline) throw new InfraError('NOT_READY', late);
    const { signal } = this.options;
    await sleep(this.waitMs, undefined, signal ? { signal } : {});
    this.waitMs = Math.min(this.waitMs * GROWTH, this.options.mostMs ?? MOST_MS);
  }

  private get first(): number {
    return Math.min(FIRST_MS, this.options.mostMs ?? MOST_MS);
  }
}
