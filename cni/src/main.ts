import { type Fd, readFd, writeFd } from '@flannel-ts/linux/files';
import { answerCall } from './call.ts';
import { restoreEnvironment } from './environment.ts';
import { codeOf } from './errors.ts';
import { programName } from './programs/table.ts';
import { SUPPORTED_VERSIONS } from './protocol.ts';
import { RESIDENT } from './resident/arguments.ts';
import { serve } from './resident/serve.ts';
import { startResident } from './resident/start.ts';
import { sleep } from './sleep.ts';

const ABOUT = `CNI plugin ${programName(process.argv0)} (flannel-ts), with bridge and host-local built in
CNI protocol versions supported: ${SUPPORTED_VERSIONS.join(', ')}
`;

function main(): number {
  const env = restoreEnvironment(process.env);
  if (!env.CNI_COMMAND) {
    if (process.argv.includes(RESIDENT)) return serve();
    // To stderr as the CNI project's plugins do, unless it is what was asked for.
    describeItself(process.argv.includes('--version') ? 1 : 2);
    return 0;
  }
  let stdin: Uint8Array | undefined;
  const readOnce = (): Uint8Array => {
    stdin = readStdin();
    return stdin;
  };
  const code = answerCall({ argv0: process.argv0, env, readStdin: readOnce, write: (text) => writeText(1, text) });
  if (code === 0 && stdin !== undefined) startResident(stdin);
  return code;
}

/** To the end, from a pipe or a file; a non-blocking pipe may have nothing yet. */
function readStdin(): Uint8Array {
  const chunks: Uint8Array[] = [];
  for (;;) {
    const chunk = new Uint8Array(16384);
    try {
      const length = readFd(0, chunk);
      if (length === 0) return Buffer.concat(chunks);
      chunks.push(chunk.subarray(0, length));
    } catch (error) {
      if (codeOf(error) !== 'EAGAIN') throw error;
      sleep(1);
    }
  }
}

function describeItself(fd: Fd): void {
  try {
    writeText(fd, ABOUT);
  } catch {
    // Nobody listens.
  }
}

function writeText(fd: Fd, text: string): void {
  let rest: Uint8Array = Buffer.from(text, 'utf8');
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeFd(fd, rest));
    } catch (error) {
      if (codeOf(error) !== 'EAGAIN') throw error;
      sleep(1);
    }
  }
}

process.exit(main());
