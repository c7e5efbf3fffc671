/** What single properties of the fast engine cost or give. */
import { spentBy } from '../cpu.ts';
import type { Lab } from '../lab.ts';
import { tcpRate } from '../measure.ts';
import { type Series, type Session, VARIANTS } from '../session.ts';

const VARIATIONS: readonly Series[] = [
  { name: 'fast', path: 'fast' },
  { name: 'fast, checksums not verified', path: 'fast', engineSettings: { verifyChecksums: false } },
  { name: 'fast, no offloads', path: 'fast', engineSettings: { offload: false } },
  { name: 'fast, no busy polling', path: 'fast', engineSettings: { busyPollUs: 0 } },
];

const OF_SEVERAL_STREAMS: readonly Series[] = [
  { name: 'fast', path: 'fast' },
  { name: 'fast, 4 source ports', path: 'fast', engineSettings: { sourcePorts: 4 } },
];

export async function measureOptions(session: Session): Promise<void> {
  for (const variant of VARIANTS) {
    await session.withLab(1500, async (lab) => {
      lab.setVariant(variant);
      await compare(session, lab, `1 stream, ${variant}`, VARIATIONS, 1);
      await compare(session, lab, `4 streams, ${variant}`, OF_SEVERAL_STREAMS, 4);
    });
  }
}

async function compare(
  session: Session,
  lab: Lab,
  what: string,
  variations: readonly Series[],
  streams: number,
): Promise<void> {
  const { record, settings } = session;
  await session.eachRound(lab, variations, async ({ series: { name }, path: { processes } }) => {
    const before = spentBy(processes);
    const { rate, gigabytes } = await tcpRate(lab, streams, settings.seconds);
    record.note(`Options: TCP, ${what}`, 'Gbit/s', name, rate);
    const cost = (spentBy(processes) - before) / gigabytes;
    record.note(`Options: processor time of both engines, ${what}`, 's/GB', name, cost);
  });
}
