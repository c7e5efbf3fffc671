import { spawnSync } from 'node:child_process';
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { removeScratch, scratch } from '../../testing/setup.ts';
import { runLogged } from './quiet.ts';

afterEach(removeScratch);

test('runLogged() shows whole lines, in order, and keeps all in the file', async () => {
  const lines: string[] = [];
  const { code, log } = await runLogged(
    join(scratch(), 'a', 'log'),
    (line) => lines.push(line),
    async (output) => {
      writeSync(output, 'one\ntw');
      writeSync(output, 'o\nthr');
      const { status } = spawnSync('sh', ['-c', 'echo ee; printf unended; exit 3'], {
        stdio: ['ignore', output, output],
      });
      return status!;
    },
  );
  expect([code, lines, log]).toEqual([3, ['one', 'two', 'three'], 'one\ntwo\nthree\nunended']);
});
