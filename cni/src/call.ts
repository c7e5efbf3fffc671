import { Deadline } from './deadline.ts';
import { useEnvironment } from './environment.ts';
import { CniError, ErrorCode, formatError, messageOf, toCniError } from './errors.ts';
import { PROGRAMS, programName } from './programs/table.ts';
import { CURRENT_VERSION, type Environment, formatVersionInfo, readEnvironment, readRequest } from './protocol.ts';

/** One call of a runtime: what it starts the plugin with. */
export interface Call {
  readonly argv0: string;
  readonly env: Environment;
  /** To the end; throws what the system says. */
  readonly readStdin: () => Uint8Array;
  /** To stdout, all of it; throws what the system says. */
  readonly write: (text: string) => void;
}

/**
 * Answers on stdout, and returns the exit code. Everything is synchronous: there is nothing to wait for but the kernel, and an event loop
 * would cost start-up time.
 */
export function answerCall({ argv0, env, readStdin, write }: Call): number {
  // The version for an error's answer; the input's, as soon as it is known.
  let version: string = CURRENT_VERSION;
  const deadline = new Deadline();
  useEnvironment(env);
  try {
    const invocation = readEnvironment(env);
    if (invocation.command === 'VERSION') {
      write(formatVersionInfo());
      return 0;
    }
    const know = (known: string): void => {
      version = known;
    };
    const request = readRequest(invocation, readInput(readStdin), know, deadline);
    PROGRAMS[programName(argv0)]!(request, (text) => answer(write, text));
    return 0;
  } catch (error) {
    try {
      write(formatError(toCniError(error), version));
    } catch {
      // What cannot be said to anybody is not an error of its own.
    }
    return 1;
  }
}

function readInput(readStdin: () => Uint8Array): Uint8Array {
  try {
    return readStdin();
  } catch (error) {
    throw new CniError(ErrorCode.ioFailure, `error reading from stdin: ${messageOf(error)}`);
  }
}

function answer(write: Call['write'], text: string): void {
  try {
    write(text);
  } catch (error) {
    throw new CniError(ErrorCode.ioFailure, `error writing to stdout: ${messageOf(error)}`);
  }
}
