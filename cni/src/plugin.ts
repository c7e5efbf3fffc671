import { type JsonObject, newJsonObject, removeField } from '@flannel-ts/flannel/go-json';
import { checkDelegate, type NetConf, netConfOf } from '@flannel-ts/flannel/netconf';
import type { Fd } from '@flannel-ts/linux/files';
import { attach } from './attach.ts';
import { Attachments } from './attachments.ts';
import { addCapabilities, checkCapabilities, removeCapabilities } from './capabilities.ts';
import { check } from './check.ts';
import { delegateType, ipamType, loadSubnetEnv, renderDelegate } from './delegate.ts';
import { Deleted } from './deleted.ts';
import { detach } from './detach.ts';
import { CniError, ErrorCode, messageOf, toCniError } from './errors.ts';
import { execAdd, execPlugin, findPlugin, hasPlugin } from './exec.ts';
import { collectGarbage } from './gc.ts';
import { objectField } from './json.ts';
import { withSandbox, withSandboxIfAny } from './netns.ts';
import type { Request } from './protocol.ts';
import { type CniResult, decodePreviousResult, formatResult } from './result.ts';
import { ScratchFiles } from './scratch.ts';
import { reportStatus } from './status.ts';
import { Undo } from './undo.ts';

/** What each command does, in terms of the delegate: our own bridge, or another plugin on CNI_PATH. */
const OWN_TYPE = 'flannel';

/** `answer` writes a result; if it throws, the ADD is taken back: a pod of which the runtime has not heard is a leak. */
export function run(request: Request, answer: (text: string) => void): void {
  switch (request.command) {
    case 'ADD':
      withSandbox(request.netns, request.mayUseOwnNetns, (sandbox) => add(request, sandbox, answer));
      break;
    case 'DEL':
      withSandboxIfAny(request.netns, request.mayUseOwnNetns, (sandbox) => del(request, sandbox));
      break;
    case 'CHECK':
      withSandbox(request.netns, request.mayUseOwnNetns, (sandbox) => checkAttachment(request, sandbox));
      break;
    case 'GC':
      collectGarbage(request, readNetConf(request));
      break;
    case 'STATUS':
      reportStatus(request, readNetConf(request), (conf) => renderForAdd(request, conf));
      break;
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

function refuseOwnType(rendered: JsonObject): void {
  const refuse = (key: string, instead: string): never => {
    throw new CniError(
      ErrorCode.invalidNetworkConfig,
      `${key} "${OWN_TYPE}" is this plugin itself`,
      `leave it out, or write "${instead}"`,
    );
  };
  if (delegateType(rendered) === OWN_TYPE) refuse('delegate.type', 'bridge');
  if (ipamType(rendered) === OWN_TYPE) refuse('ipam.type', 'host-local');
}

function renderForAdd(request: Request, conf: NetConf): JsonObject {
  try {
    checkDelegate(conf);
  } catch (error) {
    throw new CniError(ErrorCode.invalidNetworkConfig, messageOf(error), '', { cause: error });
  }
  const rendered = renderDelegate(conf, loadSubnetEnv(conf.subnetFile), objectField(request.config, 'args'));
  refuseOwnType(rendered);
  return rendered;
}

function add(request: Request, sandbox: Fd, answer: (text: string) => void): void {
  const conf = readNetConf(request);
  const rendered = renderForAdd(request, conf);
  const scratch = new ScratchFiles(conf.dataDir, request.containerId, request.ifName);
  const undo = new Undo();
  const wasHere = scratch.exists();
  new Deleted(conf.subnetFile).forget(request.networkName, request);
  try {
    // Before anything is taken: a DEL after a crash then knows what to look for. The file of an earlier ADD stays.
    if (!wasHere) {
      undo.pushIfClean(() => scratch.remove());
      scratch.write(rendered);
    }
    const type = delegateType(rendered);
    if (type === 'bridge') {
      const attachments = new Attachments(conf.subnetFile);
      if (!wasHere) undo.pushIfClean(() => attachments.forget(request));
      attachments.note(request, sandbox);
    }
    const known = { mayHoldAddress: wasHere, dataDir: conf.dataDir, subnetFile: conf.subnetFile };
    const result =
      type === 'bridge'
        ? addCapabilities(request, rendered, attach(request, sandbox, rendered, known, undo), undo)
        : addByDelegate(type, request, rendered, undo);
    if (wasHere) scratch.write(rendered);
    answer(formatResult(result, request.version));
  } catch (error) {
    request.deadline.startRollBack();
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

function del(request: Request, sandbox: Fd | undefined): void {
  const conf = readLenientNetConf(request);
  const files = new ScratchFiles(conf.dataDir, request.containerId, request.ifName);
  const scratch = files.read();
  const rendered = scratch?.conf ?? renderForDel(conf);
  refuseOwnType(rendered);
  const type = delegateType(rendered) || 'bridge';
  const deleted = new Deleted(conf.subnetFile);
  if (type === 'bridge') {
    const owner = { containerId: request.containerId, ifName: request.ifName };
    const wasDeleted = scratch === undefined && deleted.has(request.networkName, owner);
    if (!wasDeleted) removeCapabilities(request.networkName, owner);
    const isOurs = scratch?.path === files.path;
    detach(request, rendered, owner, sandbox, { isOfAdd: scratch?.conf !== undefined, isOurs, wasDeleted });
  } else if (scratch?.conf !== undefined || hasPlugin(type, request.path)) {
    execPlugin(type, 'DEL', request, rendered);
  }
  // Last: as long as something is left to do, the next DEL must find it (upstream removes it too early).
  if (scratch !== undefined) files.remove(scratch.path);
  new Attachments(conf.subnetFile).forget(request);
  deleted.note(request.networkName, request);
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

function checkAttachment(request: Request, sandbox: Fd): void {
  const previous = decodePreviousResult(request.config, request.version);
  if (previous === undefined) throw new CniError(ErrorCode.invalidNetworkConfig, 'Required prevResult missing');
  const conf = readNetConf(request);
  const scratch = new ScratchFiles(conf.dataDir, request.containerId, request.ifName).read();
  const rendered = scratch?.conf ?? renderForAdd(request, conf);
  const type = delegateType(rendered);
  if (type === 'bridge') {
    check(request, sandbox, rendered, previous);
    checkCapabilities(request, rendered, previous);
  } else execPlugin(type, 'CHECK', request, { ...rendered, prevResult: request.config.prevResult ?? null });
}
