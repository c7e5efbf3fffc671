import { messageOf } from './errors.ts';

/** What to take back when an ADD fails, newest first. One failing step does not keep the others from running. */
export class Undo {
  readonly #steps: (() => void)[] = [];

  push(step: () => void): void {
    this.#steps.push(step);
  }

  /** Runs all steps and returns what went wrong with them. */
  run(): string[] {
    const problems: string[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        step();
      } catch (error) {
        problems.push(messageOf(error));
      }
    }
    return problems;
  }
}
