/** Where the time goes: user and system time of each engine, packets per system call, and what the kernel does meanwhile. */
import { type ThreadTime, threadTimes } from '../cpu.ts';
import type { EngineProcess } from '../engine-process.ts';
import { tcpRate } from '../measure.ts';
import { copies, hasPerf, type Sample, sampled, workOf } from '../samples.ts';
import type { Session } from '../session.ts';

const SECONDS = 3;
const ROLES = ['sender', 'receiver'] as const;

interface Snapshot {
  readonly threads: readonly ThreadTime[];
  readonly counters: Readonly<Record<string, unknown>>;
}

export async function measureProfile(session: Session): Promise<void> {
  const series = session.paths.filter(({ path }) => path === 'fast' || path === 'reference');
  await session.withLab(1500, async (lab) => {
    lab.setVariant('wire');
    for (const each of series) {
      await session.onPath(lab, each, async ({ path: { engines }, series: { name } }) => {
        const before = await Promise.all(engines.map(snapshot));
        const { gigabytes } = await tcpRate(lab, 1, SECONDS);
        for (const [index, engine] of engines.entries()) {
          const role = ROLES[index]!;
          noteCosts(session, role, name, before[index]!, await snapshot(engine), gigabytes);
        }
        if (!hasPerf()) return;
        const file = session.program.path('perf.data');
        const samples = await sampled(file, async () => void (await tcpRate(lab, 1, SECONDS)));
        for (const [index, { pid }] of engines.entries()) {
          const own = samples.filter((sample) => sample.pid === pid);
          noteWork(session, ROLES[index]!, name, own);
        }
      });
    }
  });
}

async function snapshot(engine: EngineProcess): Promise<Snapshot> {
  return { threads: threadTimes(engine.pid), counters: await engine.counters() };
}

function noteCosts(
  { record }: Session,
  role: string,
  series: string,
  before: Snapshot,
  after: Snapshot,
  gigabytes: number,
): void {
  const sum = (field: 'user' | 'system' | 'sleeps' | 'preemptions', of: Snapshot): number =>
    of.threads.reduce((total, thread) => total + thread[field], 0);
  const spent = (field: 'user' | 'system' | 'sleeps' | 'preemptions'): number => sum(field, after) - sum(field, before);
  record.note(`Profile, ${role}: user time`, 's/GB', series, spent('user') / gigabytes);
  record.note(`Profile, ${role}: system time`, 's/GB', series, spent('system') / gigabytes);
  record.note(`Profile, ${role}: sleeps`, '1/GB', series, spent('sleeps') / gigabytes);
  record.note(`Profile, ${role}: preemptions`, '1/GB', series, spent('preemptions') / gigabytes);
  for (const [name, value] of Object.entries(after.counters)) {
    const grown = Number(value) - Number(before.counters[name]);
    if (grown > 0) record.note(`Profile, ${role}: ${words(name)}`, '1/GB', series, grown / gigabytes);
  }
}

/** Percent of the samples that were taken in the process. */
function noteWork({ record }: Session, role: string, series: string, samples: readonly Sample[]): void {
  const shares = new Map<string, number>();
  const add = (what: string): void => void shares.set(what, (shares.get(what) ?? 0) + 100 / samples.length);
  for (const sample of samples) {
    const work = workOf(sample);
    add(copies(sample) ? `${work}, copying` : work);
  }
  const sorted = [...shares].sort(([, a], [, b]) => b - a);
  for (const [work, share] of sorted) record.note(`Profile, ${role}: time in: ${work}`, '%', series, share);
}

/** sentPackets -> sent packets */
function words(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
