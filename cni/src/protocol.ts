import { parseExactJson } from '@flannel-ts/flannel/exact-json';
import { field, isJsonObject, type Json, type JsonObject } from '@flannel-ts/flannel/go-json';
import { Deadline } from './deadline.ts';
import { CniError, ErrorCode, messageOf } from './errors.ts';

/**
 * What a runtime sends us and in which order we look at it: the same order as containernetworking/cni pkg/skel, because
 * runtimes and people know its answers. Two differences, both stricter: an unknown CNI_COMMAND is refused before stdin is
 * read, and a CNI_NETNS that is our own namespace before anything is done (skel compares afterwards).
 */
export const SUPPORTED_VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;
export type CniVersion = (typeof SUPPORTED_VERSIONS)[number];
export const CURRENT_VERSION: CniVersion = '1.1.0';

const COMMANDS = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION'] as const;
export type Command = (typeof COMMANDS)[number];

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Invocation {
  readonly command: Command;
  readonly containerId: string;
  readonly netns: string;
  readonly ifName: string;
  readonly args: string;
  readonly path: readonly string[];
  /** Testing tools and rootless runtimes really mean our own namespace. */
  readonly mayUseOwnNetns: boolean;
}

export interface Request extends Invocation {
  readonly version: CniVersion;
  readonly networkName: string;
  readonly config: JsonObject;
  readonly deadline: Deadline;
}

type Validator = (value: string) => void;
interface Variable {
  readonly name: string;
  readonly requiredBy: readonly Command[];
  readonly validate?: Validator;
}

const ATTACHMENT: readonly Command[] = ['ADD', 'CHECK', 'DEL'];
const VARIABLES: readonly Variable[] = [
  { name: 'CNI_COMMAND', requiredBy: COMMANDS },
  { name: 'CNI_CONTAINERID', requiredBy: ATTACHMENT, validate: validateContainerId },
  { name: 'CNI_NETNS', requiredBy: ['ADD', 'CHECK'] },
  { name: 'CNI_IFNAME', requiredBy: ATTACHMENT, validate: validateInterfaceName },
  { name: 'CNI_PATH', requiredBy: ['ADD', 'CHECK', 'DEL', 'GC', 'STATUS'] },
];

const IDENTIFIER = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
/** IFNAMSIZ - 1, linux/if.h; in bytes. */
const MAX_INTERFACE_NAME = 15;
/** What Go's unicode.IsSpace says yes to. */
const GO_SPACE = /[\t\n\v\f\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

export function validateContainerId(id: string): void {
  if (id === '') throw new CniError(ErrorCode.unknownContainer, 'missing containerID');
  if (!IDENTIFIER.test(id) || id.endsWith('\n')) {
    throw new CniError(ErrorCode.invalidEnvironment, 'invalid characters in containerID', id);
  }
}

export function validateNetworkName(name: string): void {
  if (name === '') throw new CniError(ErrorCode.invalidNetworkConfig, 'missing network name');
  if (!IDENTIFIER.test(name)) {
    throw new CniError(ErrorCode.invalidNetworkConfig, 'invalid characters found in network name', name);
  }
}

export function validateInterfaceName(name: string): void {
  const refuse = (message: string, details = ''): never => {
    throw new CniError(ErrorCode.invalidEnvironment, message, details);
  };
  if (name === '') refuse('interface name is empty');
  if (Buffer.byteLength(name) > MAX_INTERFACE_NAME) {
    refuse('interface name is too long', `interface name should be less than ${MAX_INTERFACE_NAME + 1} characters`);
  }
  if (name === '.' || name === '..') refuse('interface name is . or ..');
  if (name.includes('/') || name.includes(':') || GO_SPACE.test(name)) {
    refuse('interface name contains / or : or whitespace characters');
  }
}

function isCommand(text: string): text is Command {
  return (COMMANDS as readonly string[]).includes(text);
}

/** Reads and validates the CNI_* variables. The first malformed one is reported at once, missing ones all together. */
export function readEnvironment(env: Environment): Invocation {
  const command = env.CNI_COMMAND ?? '';
  if (command !== '' && !isCommand(command)) {
    throw new CniError(ErrorCode.invalidEnvironment, `unknown CNI_COMMAND: ${command}`);
  }
  const missing: string[] = [];
  for (const variable of VARIABLES) {
    const value = env[variable.name] ?? '';
    const isRequired = variable.name === 'CNI_COMMAND' || (command !== '' && variable.requiredBy.includes(command));
    if (!isRequired) continue;
    if (value === '') missing.push(variable.name);
    else variable.validate?.(value);
  }
  if (missing.length > 0) {
    throw new CniError(ErrorCode.invalidEnvironment, `required env variables [${missing.join(',')}] missing`);
  }
  const override = (env.CNI_NETNS_OVERRIDE ?? '').toUpperCase();
  return {
    command: command as Command,
    containerId: env.CNI_CONTAINERID ?? '',
    netns: env.CNI_NETNS ?? '',
    ifName: env.CNI_IFNAME ?? '',
    args: env.CNI_ARGS ?? '',
    path: (env.CNI_PATH ?? '').split(':').filter((folder) => folder !== ''),
    mayUseOwnNetns: override === 'TRUE' || override === '1',
  };
}

/** Decodes stdin: code 6 for what is no JSON object, 7 for a missing or bad name. */
export function readConfig(stdin: Uint8Array): { config: JsonObject; networkName: string } {
  const config = decodeObject(stdin);
  const name = field(config, 'name') ?? '';
  if (typeof name !== 'string') {
    throw decodeFailure(`name must be a string, not ${JSON.stringify(name)}`);
  }
  validateNetworkName(name);
  return { config, networkName: name };
}

function decodeFailure(reason: string, cause?: unknown): CniError {
  return new CniError(ErrorCode.decodeFailure, `error unmarshall network config: ${reason}`, '', { cause });
}

function decodeObject(stdin: Uint8Array): JsonObject {
  if (stdin.length === 0) throw decodeFailure('unexpected end of JSON input');
  let value: Json;
  try {
    // ignoreBOM keeps the mark in the text, where JSON refuses it as Go does.
    value = parseExactJson(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(stdin)) as Json;
  } catch (error) {
    throw decodeFailure(messageOf(error), error);
  }
  if (value === null) return Object.create(null);
  if (!isJsonObject(value)) throw decodeFailure('the configuration must be a JSON object');
  return value;
}

/** The version of the configuration; absent or empty means 0.1.0. Not yet checked against what we support. */
export function decodeVersion(config: JsonObject): string {
  const version = field(config, 'cniVersion');
  if (version === undefined || version === '') return '0.1.0';
  if (typeof version !== 'string') {
    throw new CniError(
      ErrorCode.decodeFailure,
      `decoding version from network config: cniVersion must be a string, not ${JSON.stringify(version)}`,
    );
  }
  return version;
}

export function isSupportedVersion(version: string): version is CniVersion {
  return (SUPPORTED_VERSIONS as readonly string[]).includes(version);
}

function quotedVersions(): string {
  return `[${SUPPORTED_VERSIONS.map((version) => `"${version}"`).join(' ')}]`;
}

function parseVersion(version: string): readonly [number, number, number] {
  const parts = version.split('.');
  const isValid = parts.length <= 3 && parts.every((part) => /^\d+$/.test(part));
  if (!isValid) throw new CniError(ErrorCode.decodeFailure, `failed to parse version "${version}"`);
  return [Number(parts[0]), Number(parts[1] ?? 0), Number(parts[2] ?? 0)];
}

export function versionAtLeast(version: string, minimum: CniVersion): boolean {
  const have = parseVersion(version);
  const want = parseVersion(minimum);
  for (let i = 0; i < 3; i++) {
    if (have[i] !== want[i]) return (have[i] as number) > (want[i] as number);
  }
  return true;
}

const SINCE: Partial<Record<Command, CniVersion>> = { CHECK: '0.4.0', GC: '1.1.0', STATUS: '1.1.0' };

/** Membership in the set, not a range: 1.0.1 is as unknown as 9.9.9. */
export function requireVersion(command: Command, version: string): CniVersion {
  const since = SINCE[command];
  if (since !== undefined && !versionAtLeast(version, since)) {
    throw new CniError(ErrorCode.incompatibleVersion, `config version does not allow ${command}`);
  }
  if (isSupportedVersion(version)) return version;
  throw new CniError(
    ErrorCode.incompatibleVersion,
    'incompatible CNI versions',
    `config is "${version}", plugin supports ${quotedVersions()}`,
  );
}

/** Everything skel does before it calls the plugin. `known` gets the version as soon as one to answer in is known. */
export function readRequest(
  invocation: Invocation,
  stdin: Uint8Array,
  known: (version: CniVersion) => void = () => {},
  deadline = new Deadline(),
): Request {
  const { config, networkName } = readConfig(stdin);
  const asked = decodeVersion(config);
  if (isSupportedVersion(asked)) known(asked);
  const version = requireVersion(invocation.command, asked);
  return { ...invocation, version, networkName, config, deadline };
}

/** VERSION's answer, as skel prints it: one line, and always our newest version. */
export function formatVersionInfo(): string {
  return `${JSON.stringify({ cniVersion: CURRENT_VERSION, supportedVersions: SUPPORTED_VERSIONS })}\n`;
}

/**
 * CNI_ARGS as Go's types.LoadArgs reads them: pairs by `;`, exactly one `=` each, unknown keys refused unless
 * IgnoreUnknown says otherwise. `known` are the keys that somebody on the path understands.
 */
export function parseCniArgs(text: string, known: readonly string[]): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  if (text === '') return found;
  const unknown: string[] = [];
  for (const pair of text.split(';')) {
    const parts = pair.split('=');
    if (parts.length !== 2) {
      throw new CniError(
        ErrorCode.invalidEnvironment,
        `ARGS: invalid pair "${pair}"`,
        'CNI_ARGS wants KEY=VALUE;KEY=VALUE',
      );
    }
    const [key, value] = parts as [string, string];
    found.set(key, value);
    if (key !== 'IgnoreUnknown' && !known.includes(key)) unknown.push(pair);
  }
  const ignore = found.get('IgnoreUnknown');
  if (ignore !== undefined && !/^(1|0|true|false)$/i.test(ignore)) {
    throw new CniError(ErrorCode.invalidEnvironment, `ARGS: error parsing value of pair "IgnoreUnknown=${ignore}"`);
  }
  if (unknown.length > 0 && !/^(1|true)$/i.test(ignore ?? '')) {
    throw new CniError(ErrorCode.invalidEnvironment, `ARGS: unknown args ["${unknown.join('" "')}"]`);
  }
  return found;
}
