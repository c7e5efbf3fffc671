import { CniError, ErrorCode } from '../errors.ts';
import { parseHostLocal, storeDirectory } from '../ipam/config.ts';
import { heldAddresses, ipamResult, releaseAddresses, reserveAddresses, returnAddresses } from '../ipam/host-local.ts';
import { type Owner, Store } from '../ipam/store.ts';
import { parseCniArgs, type Request } from '../protocol.ts';
import { Undo } from '../undo.ts';
import { answerOrUndo, collectEach, type Program, validAttachments } from './program.ts';

/** The CNI project's `host-local`: our address store for another plugin's interfaces. */
export const hostLocal: Program = (request, answer) => {
  const owner = { containerId: request.containerId, ifName: request.ifName };
  switch (request.command) {
    case 'ADD':
      add(request, owner, answer);
      break;
    case 'DEL':
      release(storeOf(request), owner);
      break;
    case 'CHECK':
      if (heldBy(storeOf(request), owner).length > 0) return;
      throw new CniError(
        ErrorCode.checkFailed,
        `host-local: Failed to find address added by container ${request.containerId}`,
      );
    case 'GC':
      collect(request);
      break;
    default:
      parseHostLocal(request.config, request.networkName, request.version, new Map());
  }
};

function storeOf(request: Request): Store {
  return new Store(storeDirectory(request.config, request.networkName), request.deadline);
}

function add(request: Request, owner: Owner, answer: (text: string) => void): void {
  const args = parseCniArgs(request.args, ['IP']);
  const config = parseHostLocal(request.config, request.networkName, request.version, args);
  const store = new Store(config.directory, request.deadline);
  const undo = new Undo();
  answerOrUndo(request, undo, answer, () => {
    const reservations = reserveAddresses(store, config, owner, true);
    undo.push(() => returnAddresses(store, owner, reservations));
    return ipamResult(config, reservations);
  });
}

function heldBy(store: Store, owner: Owner) {
  return heldAddresses(store, owner, { addresses: [], expected: Number.POSITIVE_INFINITY, areAll: false });
}

function release(store: Store, owner: Owner): void {
  releaseAddresses(store, owner, heldBy(store, owner));
}

function collect(request: Request): void {
  const valid = validAttachments(request.config);
  const store = storeOf(request);
  if (valid === undefined || !store.exists()) return;
  collectEach(
    store.locked(() => store.owners()),
    valid,
    (owner) => release(store, owner),
  );
}
