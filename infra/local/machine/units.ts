/** The units of a machine: each is supervised by itself, and starts when those it comes after are ready. */
import { setTimeout as sleep } from 'node:timers/promises';
import { readStatus } from '../supervisor/descriptor.ts';
import type { UnitDescriptor } from './descriptor.ts';

/** Keeps one service alive until the signal. */
export type Supervise = (unit: UnitDescriptor, signal: AbortSignal) => Promise<void>;

interface Running {
  readonly unit: UnitDescriptor;
  readonly stop: AbortController;
  readonly ended: Promise<void>;
}

const POLL_MS = 50;

export class Units {
  private readonly running = new Map<string, Running>();
  private work: Promise<void> = Promise.resolve();

  constructor(private readonly supervise: Supervise) {}

  /** Lets these run and no others: what is as it was goes on without interruption. */
  change(wanted: readonly UnitDescriptor[]): Promise<void> {
    this.work = this.work.then(() => this.changeNow(wanted));
    return this.work;
  }

  private async changeNow(wanted: readonly UnitDescriptor[]): Promise<void> {
    const isKept = ({ unit }: Running) => wanted.some((each) => sameUnit(each, unit));
    for (const each of stopOrder([...this.running.values()].filter((one) => !isKept(one)))) {
      each.stop.abort();
      await each.ended;
      this.running.delete(each.unit.name);
    }
    for (const unit of wanted) {
      const before = wanted.filter(({ name }) => unit.after.includes(name));
      if (!this.running.has(unit.name)) this.running.set(unit.name, this.start(unit, before));
    }
  }

  private start(unit: UnitDescriptor, before: readonly UnitDescriptor[]): Running {
    const stop = new AbortController();
    const run = async () => {
      for (const each of before) await untilReady(each, stop.signal);
      if (!stop.signal.aborted) await this.supervise(unit, stop.signal);
    };
    return { unit, stop, ended: run() };
  }
}

async function untilReady({ statusFile, configHash }: UnitDescriptor, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const status = readStatus(statusFile);
    if (status?.ready && status.configHash === configHash) return;
    await sleep(POLL_MS, undefined, { signal }).catch(() => {});
  }
}

function sameUnit(a: UnitDescriptor, b: UnitDescriptor): boolean {
  return a.name === b.name && JSON.stringify(a) === JSON.stringify(b);
}

/** What comes after others goes before them. */
export function stopOrder<T extends { readonly unit: Pick<UnitDescriptor, 'name' | 'after'> }>(
  units: readonly T[],
): T[] {
  const depth = (each: T): number => {
    const before = units.filter(({ unit }) => each.unit.after.includes(unit.name));
    return before.length === 0 ? 0 : 1 + Math.max(...before.map(depth));
  };
  return [...units].sort((a, b) => depth(b) - depth(a));
}
