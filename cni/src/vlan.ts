import { addPortVlans, deletePortVlans } from '@flannel-ts/rtnetlink/bridge-vlan';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import { isNetlinkError } from '@flannel-ts/rtnetlink/errors';
import { getLink, type Link, setLink } from '@flannel-ts/rtnetlink/link';
import { addVeth } from '@flannel-ts/rtnetlink/link-add';
import type { BridgeConfig, VlanConfig } from './bridge-config.ts';
import { CniError, ErrorCode } from './errors.ts';
import { hostInterfaceName } from './names.ts';

/** Code 2 of the specification: better than a pod without what keeps it apart. */
export function noVlans(bridge: string, cause: unknown): CniError {
  return new CniError(
    ErrorCode.unsupportedField,
    `unsupported field: delegate.vlan, delegate.vlanTrunk: this kernel cannot make a bridge ${bridge} with VLANs`,
    'it was built without CONFIG_BRIDGE_VLAN_FILTERING',
    { cause },
  );
}

/** The bridge must tell VLANs apart; one that others have made without that is theirs to change. */
export function requireVlanFiltering(bridge: Link): void {
  if (bridge.data?.kind === 'bridge' && bridge.data.vlanFiltering) return;
  throw new CniError(
    ErrorCode.bridgeConflict,
    `bridge ${bridge.name} does not tell VLANs apart, as vlan and vlanTrunk need it`,
    `ip link set ${bridge.name} type bridge vlan_filtering 1 turns that on; a kernel without CONFIG_BRIDGE_VLAN_FILTERING cannot`,
  );
}

export function setPortVlans(nl: Netlink, port: Link, { vlan, trunk, preserveDefault }: VlanConfig): void {
  try {
    if (!preserveDefault) deletePortVlans(nl, port.index, 1, 4094);
    addPortVlans(nl, port.index, { untagged: vlan, tagged: trunk });
  } catch (error) {
    if (!isNetlinkError(error, 'EOPNOTSUPP')) throw error;
    throw noVlans(port.name, error);
  }
}

/**
 * The node's own place in a VLAN, for the gateway's address: a pair of which one end is a port of it, as the reference plugin makes
 * it. Any number of ADDs may do this at once.
 */
export function ensureVlanGateway(nl: Netlink, bridge: Link, config: BridgeConfig, vlans: VlanConfig): Link {
  const name = `${bridge.name}.${vlans.vlan}`;
  const portName = hostInterfaceName(name, 'gateway');
  const existing = getLink(nl, name);
  const link = existing ?? addPair(nl, name, portName, config.mtu);
  const port = getLink(nl, portName);
  if (port === undefined) {
    throw new CniError(
      ErrorCode.bridgeConflict,
      `interface ${name} exists already and is no gateway of ${bridge.name}`,
    );
  }
  if (port.master !== bridge.index) setLink(nl, port.index, { master: bridge.index });
  setPortVlans(nl, port, { vlan: vlans.vlan, trunk: [], preserveDefault: false });
  for (const end of [port, link]) if (!end.up) setLink(nl, end.index, { up: true });
  return link;
}

function addPair(nl: Netlink, name: string, peer: string, mtu: number | undefined): Link {
  try {
    return addVeth(nl, { name, mtu, peer: { name: peer, mtu } });
  } catch (error) {
    const link = isNetlinkError(error, 'EEXIST') ? getLink(nl, name) : undefined;
    if (link === undefined) throw error;
    return link;
  }
}
