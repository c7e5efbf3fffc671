import { type JsonObject, newJsonObject, removeField } from '@flannel-ts/flannel/go-json';
import { checkDelegate, type NetConf, netConfOf } from '@flannel-ts/flannel/netconf';
import { attach } from './attach.ts';
import { check } from './check.ts';
import { delegateType, ipamType, loadSubnetEnv, renderDelegate } from './delegate.ts';
import { detach } from './detach.ts';
import { CniError, ErrorCode, messageOf, toCniError } from './errors.ts';
import { execAdd, execPlugin, findPlugin, hasPlugin } from './exec.ts';
import { collectGarbage } from './gc.ts';
import { parseHostLocal } from './ipam/config.ts';
import { hasFreeAddress } from './ipam/host-local.ts';
import { objectField } from './json.ts';
import { requireSandbox, sandboxExists } from './netns.ts';
import type { Request } from './protocol.ts';
import { type CniResult, decodePreviousResult, formatResult } from './result.ts';
import { ScratchFiles } from './scratch.ts';
import { Undo } from './undo.ts';

/** What each command does, in terms of the delegate: our own bridge, or another plugin on CNI_PATH. */
const OWN_TYPE = 'flannel';

export function run(request: Request): string {
  switch (request.command) {
    case 'ADD':
      return formatResult(add(request), request.version);
    case 'DEL':
      del(request);
      return '';
    case 'CHECK':
      checkAttachment(request);
      return '';
    case 'GC':
      collectGarbage(request, readNetConf(request));
      return '';
    case 'STATUS':
      reportStatus(request);
      return '';
    default:
      throw new CniError(ErrorCode.invalidEnvironment, `unknown CNI_COMMAND: ${request.command}`);
  }
}

function readNetConf(request: Request): NetConf {
  try {
    return netConfOf(request.config);
  } catch (error) {
    throw new CniError(ErrorCode.decodeFailure, messageOf(error), '', { cause: error });
  }
}

/** prevResult may be anything at DEL, and flannel never uses it but as a hint. */
function readLenientNetConf(request: Request): NetConf {
  const config = newJsonObject(request.config);
  removeField(config, 'prevResult');
  return readNetConf({ ...request, config });
}

function refuseOwnType(type: string): void {
  if (type !== OWN_TYPE) return;
  throw new CniError(
    ErrorCode.invalidNetworkConfig,
    `delegate.type "${type}" is this plugin itself`,
    'leave it out, or write "bridge"',
  );
}

function renderForAdd(request: Request, conf: NetConf): JsonObject {
  try {
    checkDelegate(conf);
  } catch (error) {
    throw new CniError(ErrorCode.invalidNetworkConfig, messageOf(error), '', { cause: error });
  }
  const rendered = renderDelegate(conf, loadSubnetEnv(conf.subnetFile), objectField(request.config, 'args'));
  refuseOwnType(delegateType(rendered));
  return rendered;
}

function add(request: Request): CniResult {
  requireSandbox(request.netns, request.mayUseOwnNetns);
  const conf = readNetConf(request);
  const rendered = renderForAdd(request, conf);
  const scratch = new ScratchFiles(conf.dataDir, request.containerId, request.ifName);
  const undo = new Undo();
  const wasHere = scratch.exists();
  try {
    // Before anything is taken: a DEL after a crash then knows what to look for. The file of an earlier ADD stays.
    if (!wasHere) {
      undo.push(() => scratch.remove());
      scratch.write(rendered);
    }
    const type = delegateType(rendered);
    const known = { mayHoldAddress: wasHere, dataDir: conf.dataDir };
    const result =
      type === 'bridge' ? attach(request, rendered, known, undo) : addByDelegate(type, request, rendered, undo);
    if (wasHere) scratch.write(rendered);
    return result;
  } catch (error) {
    throw withProblems(toCniError(error), undo.run());
  }
}

/** The specification wants a DEL of the delegate whose ADD failed. */
function addByDelegate(type: string, request: Request, rendered: JsonObject, undo: Undo): CniResult {
  findPlugin(type, request.path);
  undo.push(() => void execPlugin(type, 'DEL', request, rendered));
  return execAdd(type, request, rendered);
}

function withProblems(error: CniError, problems: readonly string[]): CniError {
  if (problems.length === 0) return error;
  const details = [error.details, ...problems.map((problem) => `not taken back: ${problem}`)]
    .filter(Boolean)
    .join('; ');
  return new CniError(error.code, error.message, details, { cause: error });
}

function del(request: Request): void {
  const netns = sandboxExists(request.netns, request.mayUseOwnNetns) ? request.netns : undefined;
  const conf = readLenientNetConf(request);
  const files = new ScratchFiles(conf.dataDir, request.containerId, request.ifName);
  const scratch = files.read();
  const rendered = scratch?.conf ?? renderForDel(conf);
  const type = delegateType(rendered) || 'bridge';
  if (type === 'bridge') {
    detach(request, rendered, { containerId: request.containerId, ifName: request.ifName }, netns);
  } else if (scratch?.conf !== undefined || hasPlugin(type, request.path)) {
    refuseOwnType(type);
    execPlugin(type, 'DEL', request, rendered);
  }
  // Last: as long as something is left to do, the next DEL must find it (upstream removes it too early).
  if (scratch !== undefined) files.remove(scratch.path);
}

/** The file of the ADD is lost or damaged: what today's configuration says is the next best. */
function renderForDel(conf: NetConf): JsonObject {
  let env: ReturnType<typeof loadSubnetEnv> | undefined;
  try {
    env = loadSubnetEnv(conf.subnetFile);
  } catch {
    env = undefined;
  }
  return renderDelegate(conf, env);
}

function checkAttachment(request: Request): void {
  requireSandbox(request.netns, request.mayUseOwnNetns);
  const previous = decodePreviousResult(request.config, request.version);
  if (previous === undefined) throw new CniError(ErrorCode.invalidNetworkConfig, 'Required prevResult missing');
  const conf = readNetConf(request);
  const scratch = new ScratchFiles(conf.dataDir, request.containerId, request.ifName).read();
  const rendered = scratch?.conf ?? renderForAdd(request, conf);
  const type = delegateType(rendered);
  if (type === 'bridge') check(request, rendered, previous);
  else execPlugin(type, 'CHECK', request, { ...rendered, prevResult: request.config.prevResult ?? null });
}

/** Whether an ADD would find what it needs. Says nothing of the daemon and its backend (a later issue). */
function reportStatus(request: Request): void {
  try {
    const rendered = renderForAdd(request, readNetConf(request));
    const type = delegateType(rendered);
    const ipam = ipamType(rendered);
    if (type !== 'bridge') execPlugin(type, 'STATUS', request, rendered);
    else if (ipam !== 'host-local') execPlugin(ipam, 'STATUS', request, rendered);
    else {
      const config = parseHostLocal(rendered, request.networkName, request.version, new Map());
      const full = config.rangeSets.find((set) => !hasFreeAddress(config.directory, set));
      if (full !== undefined) throw new CniError(ErrorCode.noAddressLeft, 'no IP addresses available');
    }
  } catch (error) {
    const { code, message, details } = toCniError(error);
    const isStatus = code === ErrorCode.pluginNotAvailable || code === ErrorCode.limitedConnectivity;
    throw new CniError(isStatus ? code : ErrorCode.pluginNotAvailable, message, details, { cause: error });
  }
}
