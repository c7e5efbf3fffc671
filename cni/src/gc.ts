import type { JsonObject } from '@flannel-ts/flannel/go-json';
import type { NetConf } from '@flannel-ts/flannel/netconf';
import { delegateType, renderDelegate } from './delegate.ts';
import { detach } from './detach.ts';
import { CniError, ErrorCode, messageOf } from './errors.ts';
import { execPlugin } from './exec.ts';
import { storeDirectory } from './ipam/config.ts';
import { type Owner, Store } from './ipam/store.ts';
import { objectsField, stringField } from './json.ts';
import type { Request } from './protocol.ts';
import { ScratchFiles, scratchOwners } from './scratch.ts';

/**
 * GC: everything of this network whose attachment the runtime does not name is taken back, as by a DEL whose namespace has
 * gone. One that fails does not keep the others. Without the list nothing happens: that is no list of nothing.
 */
export function collectGarbage(request: Request, conf: NetConf): void {
  const listed =
    objectsField(request.config, 'cni.dev/valid-attachments') ?? objectsField(request.config, 'cni.dev/attachments');
  if (listed === undefined) return;
  const valid = new Set(
    listed.map((entry) => `${stringField(entry, 'containerID') ?? ''}:${stringField(entry, 'ifname') ?? ''}`),
  );
  const problems: string[] = [];
  for (const owner of knownOwners(request, conf)) {
    const key = `${owner.containerId}:${owner.ifName}`;
    if (valid.has(key)) continue;
    try {
      collect(request, conf, owner);
    } catch (error) {
      problems.push(`${key}: ${messageOf(error)}`);
    }
  }
  if (problems.length > 0) {
    throw new CniError(ErrorCode.internal, `could not collect ${problems.length} attachments`, problems.join('; '));
  }
}

function collect(request: Request, conf: NetConf, owner: Owner): void {
  const files = new ScratchFiles(conf.dataDir, owner.containerId, owner.ifName);
  const scratch = files.read();
  const rendered = scratch?.conf ?? renderDelegate(conf, undefined);
  const type = delegateType(rendered);
  const own: Request = { ...request, ...owner, netns: '' };
  if (type === 'bridge') detach(own, rendered, owner, undefined);
  else execPlugin(type, 'DEL', own, rendered);
  if (scratch !== undefined) files.remove(scratch.path);
}

/** Owners named by our files of this network, and by its address store. */
function knownOwners(request: Request, conf: NetConf): Owner[] {
  const found = new Map<string, Owner>();
  const remember = (owner: Owner): void => void found.set(`${owner.containerId}:${owner.ifName}`, owner);
  for (const owner of scratchOwners(conf.dataDir)) {
    const rendered = new ScratchFiles(conf.dataDir, owner.containerId, owner.ifName).read()?.conf;
    if (rendered !== undefined && nameOf(rendered) === request.networkName) remember(owner);
  }
  const store = new Store(storeDirectory(renderDelegate(conf, undefined), request.networkName));
  if (store.exists()) for (const owner of store.locked(() => store.owners())) remember(owner);
  return [...found.values()];
}

function nameOf(rendered: JsonObject): string | undefined {
  return stringField(rendered, 'name');
}
