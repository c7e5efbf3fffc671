/** flanneld as a whole: its memory, what it costs when nothing happens, and that it is as fast as its engine alone. */
import { setTimeout as sleep } from 'node:timers/promises';
import { residentMegabytes, scheduledSeconds } from '../cpu.ts';
import { Flannel, SHIPPED } from '../flanneld.ts';
import type { Lab } from '../lab.ts';
import { tcpRate, warmUp } from '../measure.ts';
import type { PathName } from '../paths.ts';
import type { Session } from '../session.ts';
import type { Settings } from '../settings.ts';

/** Code that ran at the start is compiled by then, and what the start has left is collected. */
const SETTLE_SECONDS = 30;
const IDLE_SECONDS = 20;

export async function measureDaemon(session: Session): Promise<void> {
  for (const { name, program, flags } of daemons(session.settings)) {
    // Each in a laboratory of its own: a daemon leaves its device and its rules to the next one of its kind.
    await session.withLab(1500, async (lab) => {
      lab.setVariant('wire');
      const flannel = new Flannel(lab, program, session.program.path('flannel'));
      try {
        await flannel.start(flags);
        await measureOne(session, lab, flannel, name);
      } finally {
        await flannel.stop();
      }
    });
  }
}

interface Daemon {
  readonly name: PathName;
  readonly program: string;
  readonly flags: readonly string[];
}

function daemons({ paths, upstream }: Settings): Daemon[] {
  const ours = (['fast', 'reference'] as const).map((name) => ({ name, program: SHIPPED, flags: [`-engine=${name}`] }));
  const theirs = upstream === undefined ? [] : [{ name: 'flannel' as const, program: upstream, flags: [] }];
  return [...ours, ...theirs].filter(({ name }) => paths.includes(name));
}

async function measureOne({ record, settings }: Session, lab: Lab, flannel: Flannel, engine: string): Promise<void> {
  const pids = flannel.processes.map(({ pid }) => pid);
  warmUp(lab);
  await sleep(SETTLE_SECONDS * 1000);
  const before = pids.map(scheduledSeconds);
  await sleep(IDLE_SECONDS * 1000);
  for (const [index, pid] of pids.entries()) {
    const share = (100 * (scheduledSeconds(pid) - before[index]!)) / IDLE_SECONDS;
    record.note('flanneld: idle, of one processor', '%', engine, share);
    record.note('flanneld: resident memory, idle', 'MB', engine, residentMegabytes(pid));
  }
  for (let round = 0; round < settings.rounds; round++) {
    record.note('flanneld: TCP, 1 stream, wire', 'Gbit/s', engine, (await tcpRate(lab, 1, settings.seconds)).rate);
    await tcpRate(lab, 4, settings.seconds, 'both');
  }
  for (const pid of pids) record.note('flanneld: resident memory, after load', 'MB', engine, residentMegabytes(pid));
}
