/** `node machine.cjs DIRECTORY`: keeps the units described there alive until SIGTERM; SIGHUP: looks again. */
import { supervise } from '../supervisor/supervisor.ts';
import { readDescriptors } from './descriptor.ts';
import { Units } from './units.ts';

async function main(): Promise<void> {
  const directory = process.argv[2];
  if (directory === undefined) {
    process.stderr.write('Usage: machine DIRECTORY\n');
    process.exitCode = 2;
    return;
  }
  const units = new Units(supervise);
  const look = () => units.change(readDescriptors(directory));
  process.on('SIGHUP', () => void look());
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve());
  });
  const alive = setInterval(() => {}, 3_600_000); // a machine without units is a machine, too
  await look();
  await stopped;
  await units.change([]);
  clearInterval(alive);
}

void main();
