/** Processor time and memory, as proc(5) tells them. */
import { readdirSync, readFileSync } from 'node:fs';

/** USER_HZ, which Linux fixes for what it shows. */
const TICKS_PER_SECOND = 100;

export interface ProcessorTime {
  /** Seconds. */
  readonly user: number;
  readonly system: number;
}

/** Of all processors together: what was not idle, with the time of interrupts. */
export function machineBusySeconds(): number {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n', 1);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = line.trim().split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq) / TICKS_PER_SECOND;
}

/** Seconds so far, of all of them together. */
export function spentBy(processes: readonly { readonly pid: number }[]): number {
  return processes
    .map(({ pid }) => timesOf(`/proc/${pid}/stat`))
    .reduce((sum, { user, system }) => sum + user + system, 0);
}

export interface ThreadTime extends ProcessorTime {
  readonly name: string;
  /** Times it went to sleep by itself, and times it was made to give way. */
  readonly sleeps: number;
  readonly preemptions: number;
}

export function threadTimes(pid: number): ThreadTime[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => {
    const directory = `/proc/${pid}/task/${thread}`;
    const status = readFileSync(`${directory}/status`, 'utf8');
    const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]);
    return {
      name: readFileSync(`${directory}/comm`, 'utf8').trim(),
      ...timesOf(`${directory}/stat`),
      sleeps: field('voluntary_ctxt_switches'),
      preemptions: field('nonvoluntary_ctxt_switches'),
    };
  });
}

/** Finer than the ticks of spentBy(): nanoseconds, from the scheduler's own account of each thread. */
export function scheduledSeconds(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  const nanoseconds = threads.map((thread) =>
    Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]),
  );
  return nanoseconds.reduce((sum, each) => sum + each, 0) / 1e9;
}

export function residentMegabytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

/** Fields 14 and 15. The name in field 2 may hold spaces. */
function timesOf(file: string): ProcessorTime {
  const stat = readFileSync(file, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { user: Number(fields[11]) / TICKS_PER_SECOND, system: Number(fields[12]) / TICKS_PER_SECOND };
}
