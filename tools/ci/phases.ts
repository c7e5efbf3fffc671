/** The parts of a run: each has a heading in the log, a time and an outcome. */
import { formatElapsed, say } from '../setup/progress.mjs';

export interface Phase {
  readonly name: string;
  readonly outcome: 'passed' | 'failed';
  readonly seconds: number;
  readonly problem?: string;
}

/** Tells its reason to the phase and to the user; thrown where the log already says the rest. */
export class PhaseFailure extends Error {}

export class Phases {
  readonly done: Phase[] = [];

  /** GitHub Actions folds what is between these lines. */
  constructor(private readonly folds: boolean) {}

  async run<T>(name: string, work: () => Promise<T>): Promise<T> {
    const started = Date.now();
    say(this.folds ? `::group::${name}` : `\n== ${name}`);
    try {
      const result = await work();
      this.end(name, started);
      return result;
    } catch (error) {
      this.end(name, started, (error as Error).message);
      throw error;
    }
  }

  get failed(): boolean {
    return this.done.some(({ outcome }) => outcome === 'failed');
  }

  private end(name: string, started: number, problem?: string): void {
    const elapsed = Date.now() - started;
    const outcome = problem === undefined ? 'passed' : 'failed';
    this.done.push({ name, outcome, seconds: elapsed / 1000, ...(problem === undefined ? {} : { problem }) });
    if (this.folds) say('::endgroup::');
    say(`${name}: ${outcome} (${formatElapsed(elapsed)})${problem === undefined ? '' : `: ${firstLine(problem)}`}`);
  }
}

function firstLine(text: string): string {
  return text.trim().split('\n', 1)[0] ?? '';
}
