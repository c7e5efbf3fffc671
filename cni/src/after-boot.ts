import { O_CREAT, O_TRUNC } from '@flannel-ts/linux/files';
import { readTextFile, writeTextFile } from '@flannel-ts/linux/text-files';
import { withNetlink } from '@flannel-ts/rtnetlink/connection';
import { ipamType } from './delegate.ts';
import { storeDirectory } from './ipam/config.ts';
import type { Owner, Store } from './ipam/store.ts';
import { stringField } from './json.ts';
import { hash, hostInterfaceName } from './names.ts';
import { findHostEnd } from './sandbox.ts';
import { ScratchFiles, scratchOwners } from './scratch.ts';

/**
 * No container outlives a boot, but its address file does, and one that a DEL had removed may be back after a power cut. The first
 * ADD of a boot releases what this plugin had given to containers whose interface is not there. Addresses of which we have no file
 * are another plugin's; the DEL that the runtime sends for each old sandbox finds those.
 */
export interface AfterBoot {
  /** Beside it, a file says that this was done since the boot. */
  readonly subnetFile: string;
  /** Of scratch files. */
  readonly dataDir: string;
}

export function releaseAfterBoot(store: Store, { subnetFile, dataDir }: AfterBoot, self: Owner): void {
  const marker = `${subnetFile.slice(0, subnetFile.lastIndexOf('/'))}/cni-boot-${hash(store.directory).toString(16)}`;
  const boot = readTextFile('/proc/sys/kernel/random/boot_id');
  if (readIfPossible(marker) === boot) return;
  store.locked(() => {
    // Whoever holds an address since the boot has been here under the lock.
    if (readIfPossible(marker) === boot) return;
    for (const { ip, owner } of store.holdings()) {
      if (isSame(owner, self) || !isOurs(dataDir, owner, store.directory) || isAttached(owner)) continue;
      store.release(ip, owner);
    }
    for (const owner of scratchOwners(dataDir)) {
      if (isSame(owner, self) || !isOurs(dataDir, owner, store.directory) || isAttached(owner)) continue;
      new ScratchFiles(dataDir, owner.containerId, owner.ifName).remove();
    }
    writeIfPossible(marker, boot);
  });
}

function isSame(a: Owner, b: Owner): boolean {
  return a.containerId === b.containerId && a.ifName === b.ifName;
}

/** Whether our ADD took the address from this store: its file says so. */
function isOurs(dataDir: string, owner: Owner, directory: string): boolean {
  const conf = new ScratchFiles(dataDir, owner.containerId, owner.ifName).readOwn();
  if (conf === undefined || ipamType(conf) !== 'host-local') return false;
  return storeDirectory(conf, stringField(conf, 'name') ?? '') === directory;
}

function isAttached({ containerId, ifName }: Owner): boolean {
  return withNetlink({}, (nl) => findHostEnd(nl, hostInterfaceName(containerId, ifName)) !== undefined);
}

function readIfPossible(file: string): string | undefined {
  try {
    return readTextFile(file);
  } catch {
    return undefined;
  }
}

function writeIfPossible(file: string, text: string): void {
  try {
    writeTextFile(file, text, O_CREAT | O_TRUNC, 0o600);
  } catch {
    // The next ADD looks again.
  }
}
