/** What the parts of the benchmark share: the laboratory, the programs, and where results go. */
import { constants } from 'node:os';
import { buildSync } from 'esbuild';
import { buildProgram, type Program } from './engine-process.ts';
import { Lab, type Variant } from './lab.ts';
import { warmUp } from './measure.ts';
import { layPath, type Path, type PathName, type Programs } from './paths.ts';
import { Recorder } from './recorder.ts';
import type { Settings } from './settings.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
export const VARIANTS: readonly Variant[] = ['wire', 'whole'];

/** An engine or path under a name of its own in the results. */
export interface Series {
  readonly name: string;
  readonly path: PathName;
  /** Further properties of the engine's configuration. */
  readonly engineSettings?: object;
}

export interface Place {
  readonly lab: Lab;
  readonly path: Path;
  readonly series: Series;
}

export class Session {
  readonly record: Recorder;
  readonly program: Program;
  /** The bundle of round-trip.ts. */
  readonly roundTripProgram: string;

  constructor(
    readonly settings: Settings,
    readonly say: (line: string) => void,
  ) {
    // The page speaks of the runtime that is shipped.
    const shipped = settings.runtime === 'bun';
    this.record = new Recorder(shipped ? '' : 'On Node: ');
    say(shipped ? 'engines compiled by Bun, as flanneld is' : 'engines on Node.js, which is not what is shipped');
    this.program = buildProgram(settings.runtime);
    this.roundTripProgram = this.program.path('round-trip.cjs');
    const entryPoints = ['bench/dataplane/round-trip.ts'];
    buildSync({ entryPoints, outfile: this.roundTripProgram, bundle: true, platform: 'node', external: ['koffi'] });
  }

  close(): void {
    this.program.remove();
  }

  get #programs(): Programs {
    return { engine: this.program, flannel: this.settings.upstream };
  }

  get paths(): Series[] {
    const { paths, engineSettings } = this.settings;
    return paths.map((path) => ({ name: path, path, ...(path === 'fast' && { engineSettings }) }));
  }

  /** The laboratory exists while `use` runs; an interruption ends the process, and the laboratory before it. */
  async withLab(mtu: number, use: (lab: Lab) => Promise<void>): Promise<void> {
    const lab = new Lab(`bench-${process.pid}`, mtu);
    const interrupt = (signal: NodeJS.Signals): void => {
      lab.tearDown();
      this.close();
      process.exit(128 + constants.signals[signal]);
    };
    for (const signal of SIGNALS) process.on(signal, interrupt);
    try {
      lab.setUp();
      await use(lab);
    } finally {
      lab.tearDown();
      for (const signal of SIGNALS) process.off(signal, interrupt);
    }
  }

  /**
   * Every path in turn, as many times as there are rounds and in another order each time: a machine's speed drifts, and the
   * first of a round meets other caches than the last.
   */
  async eachRound(lab: Lab, series: readonly Series[], measure: (place: Place) => Promise<void>): Promise<void> {
    for (let round = 0; round < this.settings.rounds; round++) {
      const turn = round % series.length;
      for (const each of [...series.slice(turn), ...series.slice(0, turn)]) await this.onPath(lab, each, measure);
    }
  }

  async onPath(lab: Lab, series: Series, measure: (place: Place) => Promise<void>): Promise<void> {
    const path = await layPath(series.path, lab, this.#programs, series.engineSettings);
    try {
      warmUp(lab);
      await measure({ lab, path, series });
    } finally {
      await path.takeAway();
    }
  }
}
