/** The shipped flanneld as a whole: its memory, what it costs when nothing happens, and that it is as fast as its engine alone. */
import { setTimeout as sleep } from 'node:timers/promises';
import { residentMegabytes, scheduledSeconds } from '../cpu.ts';
import { Flannel } from '../flanneld.ts';
import type { Lab } from '../lab.ts';
import { tcpRate, warmUp } from '../measure.ts';
import type { Session } from '../session.ts';

const ENGINES = ['fast', 'reference'] as const;
/** Code that ran at the start is compiled by then, and what the start has left is collected. */
const SETTLE_SECONDS = 30;
const IDLE_SECONDS = 20;

export async function measureDaemon(session: Session): Promise<void> {
  for (const engine of ENGINES.filter((name) => session.settings.paths.includes(name))) {
    // Each in a laboratory of its own: a daemon leaves its device and its rules to the next one of its kind.
    await session.withLab(1500, async (lab) => {
      lab.setVariant('wire');
      const flannel = new Flannel(lab);
      try {
        await flannel.start([`-engine=${engine}`]);
        await measureOne(session, lab, flannel, engine);
      } finally {
        await flannel.stop();
      }
    });
  }
}

async function measureOne({ record, settings }: Session, lab: Lab, { pids }: Flannel, engine: string): Promise<void> {
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
