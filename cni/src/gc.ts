import { HEALTH_ENDPOINT_OWNER } from '@flannel-ts/flannel/defaults';
import type { JsonObject } from '@flannel-ts/flannel/go-json';
import { readJsonObject } from '@flannel-ts/flannel/go-json';
import type { NetConf } from '@flannel-ts/flannel/netconf';
import { withNetlink } from '@flannel-ts/rtnetlink/connection';
import { Attachments } from './attachments.ts';
import { removeCapabilities } from './capabilities.ts';
import { delegateType, ipamType, renderDelegate } from './delegate.ts';
import { detach } from './detach.ts';
import { CniError, ErrorCode, messageOf } from './errors.ts';
import { execPlugin } from './exec.ts';
import { readIp } from './ipam/address.ts';
import { storeDirectory } from './ipam/config.ts';
import { type Owner, Store } from './ipam/store.ts';
import { objectsField, stringField, stringsField } from './json.ts';
import { listMasquerade, removeMasquerade } from './masquerade.ts';
import { CURRENT_VERSION, type Request } from './protocol.ts';
import { findHostEnd } from './sandbox.ts';
import { ScratchFiles, scratchOwners } from './scratch.ts';

const VALID = 'cni.dev/valid-attachments';
/** As libcni calls it as well (containernetworking/cni #1101). */
const VALID_TOO = 'cni.dev/attachments';

/**
 * GC: everything of this network whose attachment the runtime does not name is taken back, as by a DEL whose namespace has
 * gone. One that fails does not keep the others. Without the list nothing happens: that is no list of nothing.
 */
export function collectGarbage(request: Request, conf: NetConf): void {
  const listed = objectsField(request.config, VALID) ?? objectsField(request.config, VALID_TOO);
  if (listed === undefined) return;
  const valid = new Set(
    listed.map((entry) => `${stringField(entry, 'containerID') ?? ''}:${stringField(entry, 'ifname') ?? ''}`),
  );
  const problems: string[] = [];
  const attempt = (what: string, work: () => void): void => {
    try {
      work();
    } catch (error) {
      problems.push(`${what}: ${messageOf(error)}`);
    }
  };
  for (const owner of knownOwners(request, conf)) {
    const key = `${owner.containerId}:${owner.ifName}`;
    if (!valid.has(key)) attempt(key, () => collect(request, conf, owner));
  }
  attempt('masquerading', sweepMasquerade);
  const rendered = renderDelegate(conf, undefined);
  const foreign = delegateType(rendered) === 'bridge' ? ipamType(rendered) : delegateType(rendered);
  if (foreign !== 'host-local') attempt(foreign, () => forward(foreign, request, rendered));
  if (problems.length > 0) {
    throw new CniError(ErrorCode.internal, `could not collect ${problems.length} attachments`, problems.join('; '));
  }
}

function collect(request: Request, conf: NetConf, owner: Owner): void {
  const files = new ScratchFiles(conf.dataDir, owner.containerId, owner.ifName);
  const scratch = files.read();
  const rendered = scratch?.conf ?? renderDelegate(conf, undefined);
  const type = delegateType(rendered);
  const own: Request = { ...request, ...owner, netns: '', args: '' };
  const isOurs = scratch?.path === files.path;
  const knowledge = { isOfAdd: scratch?.conf !== undefined, isOurs, wasDeleted: false };
  if (type === 'bridge') {
    removeCapabilities(request.networkName, owner);
    detach(own, rendered, owner, undefined, knowledge);
  } else execPlugin(type, 'DEL', own, rendered);
  if (scratch !== undefined) files.remove(scratch.path);
  new Attachments(conf.subnetFile).forget(owner);
}

/** Another plugin may hold what we have no file of; it gets the list itself, if it knows the command. */
function forward(type: string, request: Request, rendered: JsonObject): void {
  const version = readJsonObject(execPlugin(type, 'VERSION', request, { cniVersion: CURRENT_VERSION }));
  const known = version === undefined ? [] : (stringsField(version, 'supportedVersions') ?? []);
  if (!known.includes(CURRENT_VERSION)) return;
  const list = request.config[VALID] ?? request.config[VALID_TOO] ?? [];
  execPlugin(type, 'GC', request, { ...rendered, [VALID]: list, [VALID_TOO]: list });
}

/** Entries whose interface has gone, of any network. The runtime runs no ADD meanwhile. */
export function sweepMasquerade(): void {
  const elements = listMasquerade();
  if (elements.length === 0) return;
  const orphans = withNetlink({}, (nl) => elements.filter(({ owner }) => findHostEnd(nl, owner) === undefined));
  removeMasquerade(orphans.flatMap(({ address }) => readIp(address) ?? []));
}

/** Owners named by our files of this network, and by its address store. */
function knownOwners(request: Request, conf: NetConf): Owner[] {
  const found = new Map<string, Owner>();
  const remember = (owner: Owner): void => void found.set(`${owner.containerId}:${owner.ifName}`, owner);
  for (const owner of scratchOwners(conf.dataDir)) {
    const rendered = new ScratchFiles(conf.dataDir, owner.containerId, owner.ifName).read()?.conf;
    if (rendered !== undefined && nameOf(rendered) === request.networkName) remember(owner);
  }
  const store = new Store(storeDirectory(renderDelegate(conf, undefined), request.networkName), request.deadline);
  if (store.exists()) for (const owner of store.locked(() => store.owners())) remember(owner);
  // flanneld's own, no container's.
  return [...found.values()].filter(({ containerId }) => containerId !== HEALTH_ENDPOINT_OWNER);
}

function nameOf(rendered: JsonObject): string | undefined {
  return stringField(rendered, 'name');
}
