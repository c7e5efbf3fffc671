/** What single properties of the fast engine cost or give. */
import { spentBy } from '../cpu.ts';
import { tcpRate } from '../measure.ts';
import { type Series, type Session, VARIANTS } from '../session.ts';

const VARIATIONS: readonly Series[] = [
  { name: 'fast', path: 'fast' },
  { name: 'fast, checksums not verified', path: 'fast', engineSettings: { verifyChecksums: false } },
  { name: 'fast, no offloads', path: 'fast', engineSettings: { offload: false } },
  { name: 'fast, no busy polling', path: 'fast', engineSettings: { busyPollUs: 0 } },
];

export async function measureOptions(session: Session): Promise<void> {
  const { record, settings } = session;
  for (const variant of VARIANTS) {
    await session.withLab(1500, async (lab) => {
      lab.setVariant(variant);
      await session.eachRound(lab, VARIATIONS, async ({ series: { name }, path: { processes } }) => {
        const before = spentBy(processes);
        const { rate, gigabytes } = await tcpRate(lab, 1, settings.seconds);
        record.note(`Options: TCP, 1 stream, ${variant}`, 'Gbit/s', name, rate);
        record.note(
          `Options: processor time of both engines, ${variant}`,
          's/GB',
          name,
          (spentBy(processes) - before) / gigabytes,
        );
      });
    });
  }
}
