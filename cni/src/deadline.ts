import { CniError, ErrorCode } from './errors.ts';

/**
 * One limit for a whole call. No runtime limits CNI itself: kubelet gives up on RunPodSandbox after 4 minutes and on
 * StopPodSandbox after 2 (runtimeRequestTimeout), CRI-O after 5, and what was begun by then stays behind. So we give up
 * earlier: after WORK_MS with code 11, and what was done is taken back within ROLL_BACK_MS.
 */
export const WORK_MS = 40_000;
export const ROLL_BACK_MS = 15_000;

export class Deadline {
  #end: number;

  constructor(
    workMs = WORK_MS,
    private readonly rollBackMs = ROLL_BACK_MS,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.#end = now() + workMs;
  }

  /** Whole milliseconds that a step may take, at most `limitMs`. Throws code 11 when nothing is left; `step` is then named. */
  within(limitMs: number, step: string): number {
    const left = this.#end - this.now();
    if (left <= 0) throw new CniError(ErrorCode.tryAgainLater, `no time was left to ${step}`);
    return Math.ceil(Math.min(left, limitMs));
  }

  /** From now on it is taken back. */
  startRollBack(): void {
    this.#end = this.now() + this.rollBackMs;
  }
}
