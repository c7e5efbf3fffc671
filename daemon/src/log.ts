/** Logs on stderr: JSON for machines, a line for people at a terminal. */
import { type Logger, pino } from 'pino';

const LEVELS: Readonly<Record<number, string>> = {
  10: 'TRACE',
  20: 'DEBUG',
  30: 'INFO',
  40: 'WARN',
  50: 'ERROR',
  60: 'FATAL',
};

/** flannel's -v counts up from 0 (klog). */
export function createLogger(verbosity: number, terminal: boolean): Logger {
  const level = verbosity >= 4 ? 'trace' : verbosity >= 1 ? 'debug' : 'info';
  const options = { level, timestamp: pino.stdTimeFunctions.isoTime, base: null };
  if (terminal) return pino(options, { write: (line: string) => void process.stderr.write(forPeople(line)) });
  // Synchronous: the last line before an exit is the most wanted one.
  return pino(options, pino.destination({ dest: 2, sync: true }));
}

function forPeople(line: string): string {
  const { level, time, msg, ...rest } = JSON.parse(line) as Record<string, unknown>;
  const fields = Object.entries(rest).map(
    ([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return `${String(time).slice(11, 23)} ${LEVELS[Number(level)] ?? level} ${msg}${fields.join('')}\n`;
}
