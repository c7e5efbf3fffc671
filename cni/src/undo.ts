import { messageOf } from './errors.ts';

/** What to take back when an ADD fails, newest first. One failing step does not keep the others from running. */
export class Undo {
  readonly #steps: { readonly run: () => void; readonly onlyIfClean: boolean }[] = [];

  push(run: () => void): void {
    this.#steps.push({ run, onlyIfClean: false });
  }

  /** For what the next DEL needs if a later step could not be taken back. */
  pushIfClean(run: () => void): void {
    this.#steps.push({ run, onlyIfClean: true });
  }

  /** Runs all steps and returns what went wrong with them. */
  run(): string[] {
    const problems: string[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      if (step.onlyIfClean && problems.length > 0) continue;
      try {
        step.run();
      } catch (error) {
        problems.push(messageOf(error));
      }
    }
    return problems;
  }
}
