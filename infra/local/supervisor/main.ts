/** `node supervisor.cjs DESCRIPTOR`: keeps the described service alive until SIGTERM. */
import { readDescriptor } from './descriptor.ts';
import { supervise } from './supervisor.ts';

async function main(): Promise<void> {
  const path = process.argv[2];
  if (path === undefined) {
    process.stderr.write('Usage: supervisor DESCRIPTOR\n');
    process.exitCode = 2;
    return;
  }
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop.abort());
  process.on('SIGHUP', () => {}); // the terminal of whoever ran the command closes; the machine goes on
  await supervise(readDescriptor(path), stop.signal);
}

void main();
