/** How long an answer takes on a path with nothing else on it. */
import { MAX_BUSY_POLL_US } from '@flannel-ts/flannel/backend-config';
import { spentBy } from '../cpu.ts';
import { pingTime, tcpRoundTrips } from '../measure.ts';
import type { Series, Session } from '../session.ts';

/** Interval, in milliseconds, and number. Up to 10 ms ping keeps looking for the answer, and a processor awake; above, it sleeps. */
const PINGS = [
  [5, 200],
  [20, 100],
] as const;

const BUSY_POLLING: readonly Series[] = [
  { name: 'fast, no busy polling', path: 'fast', engineSettings: { busyPollUs: 0 } },
  { name: 'fast, busy polling', path: 'fast', engineSettings: { busyPollUs: MAX_BUSY_POLL_US } },
];

export async function measureRoundTrips(session: Session): Promise<void> {
  const { record, settings } = session;
  const series = [...session.paths, ...(settings.paths.includes('fast') ? BUSY_POLLING : [])];
  await session.withLab(1500, async (lab) => {
    lab.setVariant('wire');
    await session.eachRound(lab, series, async ({ series: { name }, path: { processes } }) => {
      const before = spentBy(processes);
      const trips = await tcpRoundTrips(lab, session.roundTripProgram, settings.seconds);
      record.note('TCP request and response, median', 'µs', name, trips.median);
      record.note('TCP request and response, 99th percentile', 'µs', name, trips.p99);
      record.note('TCP requests and responses', '1/s', name, trips.perSecond);
      if (processes.length > 0) {
        const each = ((spentBy(processes) - before) * 1e6) / trips.count;
        record.note('TCP request and response, processor time of both engines', 'µs', name, each);
      }
      for (const [interval, count] of PINGS) {
        record.note(`Ping every ${interval} ms, average`, 'ms', name, pingTime(lab, interval, count));
      }
    });
  });
}
