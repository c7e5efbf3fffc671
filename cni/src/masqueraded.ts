import type { JsonObject } from '@flannel-ts/flannel/go-json';
import type { Ip } from '@flannel-ts/inet/ip';
import type { InterfaceAddress } from '@flannel-ts/inet/prefix';
import { delegateType, ipamType } from './delegate.ts';
import { findRange, type RangeSet } from './ipam/allocate.ts';
import { parseHostLocal } from './ipam/config.ts';
import { type Owner, Store } from './ipam/store.ts';
import { booleanField, stringField } from './json.ts';
import type { Masqueraded } from './masquerade.ts';
import { hostInterfaceName } from './names.ts';
import type { CniVersion } from './protocol.ts';
import { ScratchFiles, scratchOwners } from './scratch.ts';

/**
 * What the table of masquerading should hold, from the files that ADD left for DEL and from the address store: needed when
 * somebody has flushed the ruleset. A container that nobody can tell anything of is left out.
 */
export function masqueradedPods(dataDir: string, version: CniVersion): readonly Masqueraded[] {
  const holdings = new Map<string, ReadonlyMap<string, readonly Ip[]>>();
  return scratchOwners(dataDir).flatMap((owner) => {
    const rendered = new ScratchFiles(dataDir, owner.containerId, owner.ifName).read()?.conf;
    if (rendered === undefined || !isMasqueraded(rendered)) return [];
    try {
      const { directory, rangeSets } = parseHostLocal(
        rendered,
        stringField(rendered, 'name') ?? '',
        version,
        new Map(),
      );
      const known = holdings.get(directory) ?? holdingsOf(directory);
      holdings.set(directory, known);
      const addresses = (known.get(keyOf(owner)) ?? []).flatMap((ip) => withLength(ip, rangeSets));
      return addresses.length === 0 ? [] : [{ owner: hostInterfaceName(owner.containerId, owner.ifName), addresses }];
    } catch {
      return []; // the file of another plugin, or of another version: the pod at hand must not fail for it
    }
  });
}

function isMasqueraded(rendered: JsonObject): boolean {
  return (
    delegateType(rendered) === 'bridge' &&
    ipamType(rendered) === 'host-local' &&
    booleanField(rendered, 'ipMasq', 'delegate.ipMasq') === true
  );
}

function holdingsOf(directory: string): ReadonlyMap<string, readonly Ip[]> {
  const store = new Store(directory);
  const found = new Map<string, Ip[]>();
  if (!store.exists()) return found;
  for (const { ip, owner } of store.locked(() => store.holdings())) {
    found.set(keyOf(owner), [...(found.get(keyOf(owner)) ?? []), ip]);
  }
  return found;
}

function keyOf({ containerId, ifName }: Owner): string {
  return `${containerId}:${ifName}`;
}

function withLength(ip: Ip, rangeSets: readonly RangeSet[]): InterfaceAddress[] {
  const range = rangeSets.map((set) => findRange(set, ip)).find((each) => each !== undefined);
  return range === undefined ? [] : [{ address: ip, length: range.subnet.length } as InterfaceAddress];
}
