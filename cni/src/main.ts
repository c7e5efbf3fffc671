import { readFd, writeFd } from '@flannel-ts/linux/files';
import { Deadline } from './deadline.ts';
import { restoreEnvironment } from './environment.ts';
import { CniError, codeOf, ErrorCode, formatError, messageOf, toCniError } from './errors.ts';
import { PROGRAMS, programName } from './programs/table.ts';
import { CURRENT_VERSION, formatVersionInfo, readEnvironment, readRequest, SUPPORTED_VERSIONS } from './protocol.ts';
import { sleep } from './sleep.ts';

const NAME = programName(process.argv0);

const ABOUT = `CNI plugin ${NAME} (flannel-ts), with bridge and host-local built in
CNI protocol versions supported: ${SUPPORTED_VERSIONS.join(', ')}
`;

/** Everything is synchronous: there is nothing to wait for but the kernel, and an event loop would cost start-up time. */
function main(): number {
  // The version for an error's answer; the input's, as soon as it is known.
  let version: string = CURRENT_VERSION;
  const deadline = new Deadline();
  restoreEnvironment();
  try {
    if (!process.env.CNI_COMMAND) {
      // To stderr as the CNI project's plugins do, unless it is what was asked for.
      write(process.argv.includes('--version') ? 1 : 2, ABOUT, true);
      return 0;
    }
    const invocation = readEnvironment(process.env);
    if (invocation.command === 'VERSION') {
      write(1, formatVersionInfo());
      return 0;
    }
    const request = readRequest(
      invocation,
      readStdin(),
      (known) => {
        version = known;
      },
      deadline,
    );
    PROGRAMS[NAME]!(request, answer);
    return 0;
  } catch (error) {
    write(1, formatError(toCniError(error), version), true);
    return 1;
  }
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
      if (codeOf(error) === 'EAGAIN') sleep(1);
      else throw new CniError(ErrorCode.ioFailure, `error reading from stdin: ${messageOf(error)}`);
    }
  }
}

function answer(text: string): void {
  try {
    write(1, text);
  } catch (error) {
    throw new CniError(ErrorCode.ioFailure, `error writing to stdout: ${messageOf(error)}`);
  }
}

/** `isLast`: what cannot be said to anybody is not an error of its own. */
function write(fd: number, text: string, isLast = false): void {
  let rest: Uint8Array = Buffer.from(text, 'utf8');
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeFd(fd, rest));
    } catch (error) {
      if (codeOf(error) === 'EAGAIN') sleep(1);
      else if (isLast) return;
      else throw error;
    }
  }
}

process.exit(main());
