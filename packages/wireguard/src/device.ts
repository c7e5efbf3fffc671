/** Reads and changes WireGuard devices: `wg show` and `wg set`. The device itself is made and deleted by rtnetlink. */
import { attributeU32 } from '@flannel-ts/rtnetlink/attributes';
import { type GenericFamily, openGenericFamily } from '@flannel-ts/rtnetlink/generic';
import { type Device, type DeviceChange, encodeDeviceChange, parseDevice } from './codec.ts';
import { WG_CMD_GET_DEVICE, WG_CMD_SET_DEVICE, WG_GENL_NAME, WGDEVICE_A_IFINDEX } from './constants.ts';

export type { Device, DeviceChange, Endpoint, Peer, PeerChange } from './codec.ts';

/** A connection to the devices of this namespace, or of the one at the path `netns`. Close it after use. */
export function openWireguard(options: { readonly netns?: string | undefined } = {}): GenericFamily {
  return openGenericFamily(WG_GENL_NAME, options);
}

/** `wg show DEV dump`. ENODEV if there is no such link, EOPNOTSUPP if it is of another kind. */
export function getDevice(wireguard: GenericFamily, index: number): Device {
  const attributes = [attributeU32(WGDEVICE_A_IFINDEX, index)];
  const operation = `read the WireGuard device ${index}`;
  return parseDevice(wireguard.dump({ command: WG_CMD_GET_DEVICE, attributes, operation }));
}

/**
 * `wg set DEV` [`private-key KEY`] [`listen-port PORT`] [`peer KEY ...`]. One request, or several for many peers, of which each is
 * carried out or refused by itself. EADDRINUSE if the port is taken and the device is up.
 */
export function setDevice(wireguard: GenericFamily, index: number, change: DeviceChange): void {
  const operation = `change the WireGuard device ${index}`;
  for (const attributes of encodeDeviceChange(index, change)) {
    wireguard.request({ command: WG_CMD_SET_DEVICE, attributes, operation });
  }
}
