/** VLANs of bridge ports: `bridge vlan`. */
import { attribute, attributeNested } from './attributes.ts';
import type { Netlink } from './connection.ts';
import * as c from './constants.ts';
import { isNetlinkError, NetlinkError } from './errors.ts';
import { encodeLinkHeader } from './link-codec.ts';

// linux/if_bridge.h
const IFLA_BRIDGE_VLAN_INFO = 2;
const BRIDGE_VLAN_INFO_PVID = 1 << 1;
const BRIDGE_VLAN_INFO_UNTAGGED = 1 << 2;
const BRIDGE_VLAN_INFO_RANGE_BEGIN = 1 << 3;
const BRIDGE_VLAN_INFO_RANGE_END = 1 << 4;

export interface PortVlans {
  /** The one of what comes in without a tag; it leaves without one, too. */
  readonly untagged?: number | undefined;
  /** From the first to the last, with their tags. */
  readonly tagged?: readonly (readonly [first: number, last: number])[];
}

/** `bridge vlan add dev DEV vid N` [`pvid untagged`], all in one request. */
export function addPortVlans(nl: Netlink, index: number, { untagged, tagged = [] }: PortVlans): void {
  const infos = tagged.flatMap(([first, last]) =>
    first === last
      ? [vlanInfo(first, 0)]
      : [vlanInfo(first, BRIDGE_VLAN_INFO_RANGE_BEGIN), vlanInfo(last, BRIDGE_VLAN_INFO_RANGE_END)],
  );
  if (untagged !== undefined) infos.unshift(vlanInfo(untagged, BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED));
  if (infos.length > 0) request(nl, c.RTM_SETLINK, index, infos, `add VLANs to bridge port ${index}`);
}

/** `bridge vlan del dev DEV vid FIRST-LAST`; those that it has not are fine. */
export function deletePortVlans(nl: Netlink, index: number, first: number, last: number): void {
  const infos = [vlanInfo(first, BRIDGE_VLAN_INFO_RANGE_BEGIN), vlanInfo(last, BRIDGE_VLAN_INFO_RANGE_END)];
  try {
    request(nl, c.RTM_DELLINK, index, infos, `delete VLANs of bridge port ${index}`);
  } catch (error) {
    if (!isNetlinkError(error, 'ENOENT')) throw error;
  }
}

function vlanInfo(vid: number, flags: number): Uint8Array {
  return attribute(IFLA_BRIDGE_VLAN_INFO, Uint8Array.of(flags, 0, vid, vid >>> 8));
}

function request(nl: Netlink, type: number, index: number, infos: readonly Uint8Array[], operation: string): void {
  try {
    nl.request({
      type,
      parts: [encodeLinkHeader({ family: c.AF_BRIDGE, index }), attributeNested(c.IFLA_AF_SPEC, infos)],
      operation,
    });
  } catch (error) {
    if (!isNetlinkError(error, 'EOPNOTSUPP')) throw error;
    throw new NetlinkError('EOPNOTSUPP', operation, 'this kernel was built without CONFIG_BRIDGE_VLAN_FILTERING');
  }
}
