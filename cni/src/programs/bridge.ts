import type { Fd } from '@flannel-ts/linux/files';
import { attach } from '../attach.ts';
import { parseBridgeConfig } from '../bridge-config.ts';
import { check } from '../check.ts';
import { ipamType } from '../delegate.ts';
import { detach } from '../detach.ts';
import { CniError, ErrorCode } from '../errors.ts';
import { execPlugin } from '../exec.ts';
import { storeDirectory } from '../ipam/config.ts';
import { Store } from '../ipam/store.ts';
import { withSandbox, withSandboxIfAny } from '../netns.ts';
import type { Request } from '../protocol.ts';
import { decodePreviousResult } from '../result.ts';
import { Undo } from '../undo.ts';
import { answerOrUndo, collectEach, type Program, validAttachments } from './program.ts';

/** No files of its own: what a DEL needs is in the configuration that the runtime sends. */
const NO_FILES = { dataDir: '', subnetFile: '' };

/** The CNI project's `bridge`: our own bridge with the configuration as it comes. */
export const bridge: Program = (request, answer) => {
  switch (request.command) {
    case 'ADD':
      withSandbox(request.netns, request.mayUseOwnNetns, (sandbox) => {
        const undo = new Undo();
        const known = { ...NO_FILES, mayHoldAddress: true };
        answerOrUndo(request, undo, answer, () => attach(request, sandbox, request.config, known, undo));
      });
      break;
    case 'DEL':
      withSandboxIfAny(request.netns, request.mayUseOwnNetns, (sandbox) => del(request, sandbox));
      break;
    case 'CHECK':
      withSandbox(request.netns, request.mayUseOwnNetns, (sandbox) => {
        const previous = decodePreviousResult(request.config, request.version);
        if (previous === undefined) throw new CniError(ErrorCode.invalidNetworkConfig, 'Required prevResult missing');
        check(request, sandbox, request.config, previous);
      });
      break;
    case 'GC':
      collect(request);
      break;
    default:
      parseBridgeConfig(request.config, new Map());
      if (isForeign(ipamType(request.config))) execPlugin(ipamType(request.config), 'STATUS', request, request.config);
  }
};

function isForeign(ipam: string): boolean {
  return ipam !== '' && ipam !== 'host-local';
}

function del(request: Request, sandbox: Fd | undefined): void {
  const { containerId, ifName } = request;
  // The configuration may be another one than the ADD's was.
  const knowledge = { isOfAdd: false, isOurs: false, wasDeleted: false };
  detach(request, request.config, { containerId, ifName }, sandbox, knowledge);
}

/** Of a foreign IPAM we know no owners. */
function collect(request: Request): void {
  const valid = validAttachments(request.config);
  if (valid === undefined || ipamType(request.config) !== 'host-local') return;
  const store = new Store(storeDirectory(request.config, request.networkName), request.deadline);
  if (!store.exists()) return;
  collectEach(
    store.locked(() => store.owners()),
    valid,
    (owner) => del({ ...request, ...owner, netns: '', args: '' }, undefined),
  );
}
