/** The end of flanneld's log: systemd keeps it in the journal, other supervisors in a file. */
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { fileOf, type RunningDaemon } from '../daemons.ts';
import { run } from './sources.ts';

const LINES = 2000;
/** More than so many lines have. */
const MOST_BYTES = 2 << 20;
const JOURNAL = ['journalctl', '_COMM=flanneld', '-n', String(LINES), '-o', 'short-iso', '--no-pager'];

/** `file`: where somebody says that it is. */
export function readLog(file: string | undefined, daemons: readonly RunningDaemon[], subnetFile: string): string {
  const daemon = daemons.find((each) => fileOf(each) === subnetFile);
  const found = file ?? (daemon === undefined ? undefined : errorFileOf(daemon.pid));
  return found === undefined
    ? run(JOURNAL)
    : `# the end of ${file ?? 'the file that flanneld writes to'}\n${lastLines(found)}`;
}

/** Standard error, if it is a file that can be read again. Through /proc it is also found where it was renamed or is in another mount namespace. */
function errorFileOf(pid: number): string | undefined {
  const path = `/proc/${pid}/fd/2`;
  return statSync(path, { throwIfNoEntry: false })?.isFile() ? path : undefined;
}

function lastLines(file: string): string {
  const fd = openSync(file, 'r');
  try {
    const { size } = fstatSync(fd);
    const bytes = Buffer.alloc(Math.min(size, MOST_BYTES));
    const read = readSync(fd, bytes, 0, bytes.length, size - bytes.length);
    const lines = bytes.subarray(0, read).toString('utf8').trimEnd().split('\n');
    return `${lines.slice(-LINES).join('\n')}\n`;
  } finally {
    closeSync(fd);
  }
}
