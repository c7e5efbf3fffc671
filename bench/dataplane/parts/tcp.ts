/** Throughput of TCP, and what it costs in processor time. */
import { machineBusySeconds, spentBy } from '../cpu.ts';
import type { Lab, Variant } from '../lab.ts';
import { type Direction, type TcpRate, tcpRate } from '../measure.ts';
import type { Path } from '../paths.ts';
import { type Place, type Session, VARIANTS } from '../session.ts';

interface Load {
  readonly name: string;
  readonly streams: number;
  readonly direction: Direction;
}

const ONE: Load = { name: 'TCP, 1 stream', streams: 1, direction: 'there' };
const FOUR: Load = { name: 'TCP, 4 streams', streams: 4, direction: 'there' };
const BACK: Load = { name: 'TCP, 1 stream, back', streams: 1, direction: 'back' };
const BOTH: Load = { name: 'TCP, 1 stream each way', streams: 1, direction: 'both' };

/** Both ends are of one kind: the way back differs by which engine has which role only, so it is looked at once. */
function loadsOf(quick: boolean, variant: Variant, mtu: number): readonly Load[] {
  return quick || variant === 'whole' || mtu !== 1500 ? [ONE, FOUR] : [ONE, FOUR, BACK, BOTH];
}

export async function measureTcp(session: Session): Promise<void> {
  for (const mtu of session.settings.mtus) {
    for (const variant of VARIANTS) {
      await session.withLab(mtu, async (lab) => {
        lab.setVariant(variant);
        const loads = loadsOf(session.settings.quick, variant, mtu);
        await session.eachRound(lab, session.paths, (place) => measurePath(session, place, variant, loads));
      });
    }
  }
}

async function measurePath(
  { record, settings }: Session,
  { lab, path, series }: Place,
  variant: Variant,
  loads: readonly Load[],
): Promise<void> {
  const where = `${variant}, MTU ${lab.mtu}`;
  for (const load of loads) {
    const { rate, cost } = await costly(lab, path, load, settings.seconds);
    record.note(`${load.name}, ${where}`, 'Gbit/s', series.name, rate);
    if (load !== ONE) continue;
    record.note(`Processor time of the machine, ${where}`, 's/GB', series.name, cost.machine);
    if (path.processes.length > 0)
      record.note(`Processor time of both engines, ${where}`, 's/GB', series.name, cost.engines);
  }
}

interface Cost {
  /** Seconds per 10^9 bytes that arrived; all of the machine, with the programs at the ends. */
  readonly machine: number;
  readonly engines: number;
}

async function costly(lab: Lab, path: Path, load: Load, seconds: number): Promise<TcpRate & { readonly cost: Cost }> {
  const before = times(path);
  const result = await tcpRate(lab, load.streams, seconds, load.direction);
  const after = times(path);
  return {
    ...result,
    cost: {
      machine: (after.machine - before.machine) / result.gigabytes,
      engines: (after.engines - before.engines) / result.gigabytes,
    },
  };
}

function times({ processes }: Path): Cost {
  return { machine: machineBusySeconds(), engines: spentBy(processes) };
}
