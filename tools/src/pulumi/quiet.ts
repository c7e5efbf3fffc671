/** Runs Pulumi with its output in a file, from which a few lines are shown as they come. */
import { closeSync, mkdirSync, openSync, readFileSync, readSync } from 'node:fs';
import { dirname } from 'node:path';
import { StringDecoder } from 'node:string_decoder';

const LOOK_EVERY_MS = 100;

/**
 * `run` starts the program with this descriptor as its output. A file and not a pipe: a program whose reader is killed would
 * die of the next line it prints, and leave half of what it is at.
 */
export async function runLogged(
  file: string,
  onLine: (line: string) => void,
  run: (output: number) => Promise<number>,
): Promise<{ readonly code: number; readonly log: string }> {
  mkdirSync(dirname(file), { recursive: true });
  const output = openSync(file, 'w', 0o600);
  const input = openSync(file, 'r');
  const read = lineReader(input, onLine);
  const timer = setInterval(read, LOOK_EVERY_MS);
  try {
    const code = await run(output);
    read();
    return { code, log: readFileSync(file, 'utf8') };
  } finally {
    clearInterval(timer);
    closeSync(input);
    closeSync(output);
  }
}

/** Each call passes on the whole lines that have come since the one before. */
function lineReader(fd: number, onLine: (line: string) => void): () => void {
  const decoder = new StringDecoder('utf8');
  const buffer = Buffer.alloc(65_536);
  let rest = '';
  return () => {
    for (let size = readSync(fd, buffer); size > 0; size = readSync(fd, buffer)) {
      const lines = (rest + decoder.write(buffer.subarray(0, size))).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) onLine(line);
    }
  };
}
