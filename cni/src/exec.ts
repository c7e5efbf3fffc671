import { stringifyExactJson } from '@flannel-ts/flannel/exact-json';
import { field, type JsonObject, readJsonObject } from '@flannel-ts/flannel/go-json';
import { type RunOutcome, runProgram } from '@flannel-ts/linux/run-program';
import { isExecutableFile, statFile } from '@flannel-ts/linux/text-files';
import { ownEnvironment } from './environment.ts';
import { CniError, ErrorCode, messageOf } from './errors.ts';
import type { CniVersion, Command, Request } from './protocol.ts';
import { type CniResult, decodeResult } from './result.ts';

/** The first regular file of this name on CNI_PATH. A type with a path in it is refused (CVE-2021-20206). */
export function findPlugin(type: string, path: readonly string[]): string {
  if (type === '' || type === '.' || type === '..' || /[/\0]/.test(type)) {
    throw new CniError(ErrorCode.invalidNetworkConfig, `invalid plugin name: "${type}"`, 'a name has no slash in it');
  }
  for (const folder of path) {
    const file = `${folder}/${type}`;
    if (isProgram(file)) return file;
  }
  throw new CniError(ErrorCode.internal, `failed to find plugin "${type}" in path [${path.join(' ')}]`);
}

/** CNI_PATH may name what is no directory, or is not there. */
function isProgram(file: string): boolean {
  try {
    return isExecutableFile(statFile(file));
  } catch {
    return false;
  }
}

export function hasPlugin(type: string, path: readonly string[]): boolean {
  try {
    findPlugin(type, path);
    return true;
  } catch {
    return false;
  }
}

/**
 * Runs another plugin as the specification says under "Delegated plugins": the environment of the runtime, with the variables of the
 * attachment in question (GC asks for those of others), and the complete configuration.
 */
export function execPlugin(type: string, command: Command, request: Request, conf: JsonObject): string {
  const file = findPlugin(type, request.path);
  const timeoutMs = request.deadline.within(Number.POSITIVE_INFINITY, `run plugin ${type}`);
  let run: RunOutcome;
  try {
    run = runProgram(file, [], {
      env: environmentFor(command, request),
      input: stringifyExactJson(conf),
      timeoutMs,
      inheritStderr: true,
    });
  } catch (error) {
    throw new CniError(ErrorCode.internal, `cannot run plugin ${file}: ${messageOf(error)}`, '', { cause: error });
  }
  if (run.timedOut) {
    throw new CniError(ErrorCode.tryAgainLater, `plugin ${file} did not answer ${command} within ${timeoutMs} ms`);
  }
  if (run.status !== 0) throw pluginFailure(file, command, run.stdout, run.signal ?? `exit status ${run.status}`);
  return run.stdout;
}

const ATTACHMENT_COMMANDS: readonly Command[] = ['ADD', 'DEL', 'CHECK'];

function environmentFor(command: Command, request: Request): Record<string, string | undefined> {
  const { containerId, netns, ifName, args } = request;
  const attachment = ATTACHMENT_COMMANDS.includes(command)
    ? { CNI_CONTAINERID: containerId, CNI_NETNS: netns, CNI_IFNAME: ifName, CNI_ARGS: args }
    : { CNI_CONTAINERID: undefined, CNI_NETNS: undefined, CNI_IFNAME: undefined, CNI_ARGS: undefined };
  return { ...ownEnvironment(), CNI_COMMAND: command, ...attachment, CNI_PATH: request.path.join(':') };
}

function pluginFailure(file: string, command: Command, stdout: string, ending: string): CniError {
  const said = readJsonObject(stdout);
  if (said !== undefined) {
    const [code, msg, details] = [field(said, 'code'), field(said, 'msg'), field(said, 'details')];
    if (typeof msg === 'string') {
      return new CniError(
        typeof code === 'number' ? code : ErrorCode.internal,
        msg,
        typeof details === 'string' ? details : '',
      );
    }
  }
  const output = stdout.trim().slice(0, 200);
  const reason = output === '' ? 'it printed nothing' : `it printed ${JSON.stringify(output)}`;
  return new CniError(ErrorCode.internal, `plugin ${file} failed (${command}): ${ending}, ${reason}`);
}

/** ADD of another plugin; its output must be a result. */
export function execAdd(type: string, request: Request, conf: JsonObject): CniResult {
  const stdout = execPlugin(type, 'ADD', request, conf);
  const value = readJsonObject(stdout);
  if (value === undefined) {
    const output = stdout.trim().slice(0, 200);
    throw new CniError(
      ErrorCode.internal,
      `plugin "${type}" answered ADD with ${output === '' ? 'nothing' : JSON.stringify(output)} instead of a result`,
    );
  }
  return decodeResult(value, request.version as CniVersion);
}
