/**
 * Pod to pod over each data path: the fast and the reference engine of the udp backend, and the kernel's own VXLAN and plain
 * routes. The paths take turns within each round; a result is the median of the rounds. settings.ts says what can be chosen.
 */
import type { Result } from '../result.ts';
import { upstreamVersion } from '../upstream.ts';
import { compareSetters, settersTable } from './alike.ts';
import { measureBackends } from './parts/backends.ts';
import { measureDaemon } from './parts/daemon.ts';
import { measureOptions } from './parts/options.ts';
import { measureProfile } from './parts/profile.ts';
import { measureRoundTrips } from './parts/round-trips.ts';
import { measureTcp } from './parts/tcp.ts';
import { measureUdp } from './parts/udp.ts';
import { Session } from './session.ts';
import { type PartName, settingsOf } from './settings.ts';
import { compactTable } from './table.ts';

export const name = 'dataplane';

const PARTS: Readonly<Record<PartName, (session: Session) => Promise<void>>> = {
  tcp: measureTcp,
  udp: measureUdp,
  rr: measureRoundTrips,
  options: measureOptions,
  daemon: measureDaemon,
  backends: measureBackends,
  profile: measureProfile,
};

export async function run(): Promise<Result[]> {
  const settings = settingsOf(process.env);
  const session = new Session(settings, (line) => process.stderr.write(`  ${line}\n`));
  try {
    for (const part of settings.parts) {
      session.say(`${part} ...`);
      await PARTS[part](session);
    }
  } finally {
    session.close();
  }
  return session.record.results();
}

export function summary(results: readonly Result[]): string {
  const hasSetters = compareSetters(results).length > 0;
  return hasSetters ? `${compactTable(results)}\n\n${settersTable(results)}` : compactTable(results);
}

/** Of the program that FLANNEL_UPSTREAM names. */
export function flannelVersion(): string | undefined {
  const { paths, upstream } = settingsOf(process.env);
  return paths.includes('flannel') ? upstreamVersion(upstream) : undefined;
}
