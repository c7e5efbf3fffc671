/** Steps of the system's clock, as this process sees it: Date jumps; timers and the monotonic clock do not. */
export class ClockSteps {
  private readonly real = globalThis.Date;
  private offsetMs = 0;

  constructor() {
    const now = () => this.real.now() + this.offsetMs;
    globalThis.Date = class extends this.real {
      constructor(...given: [] | ConstructorParameters<DateConstructor>) {
        super(...(given.length === 0 ? ([now()] as const) : (given as [number])));
      }

      static override now(): number {
        return now();
      }
    } as DateConstructor;
  }

  /** Forwards, or backwards with a negative number. */
  step(ms: number): void {
    this.offsetMs += ms;
  }

  restore(): void {
    globalThis.Date = this.real;
  }
}
