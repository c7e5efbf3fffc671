import type { JsonObject } from '@flannel-ts/flannel/go-json';
import { type InterfaceAddress, parseInterfaceAddress } from '@flannel-ts/inet/prefix';
import { type Netlink, withNetlink } from '@flannel-ts/rtnetlink/connection';
import { getLink, type Link } from '@flannel-ts/rtnetlink/link';
import { addBandwidth, checkBandwidth, parseBandwidth, removeBandwidth } from './bandwidth.ts';
import { CniError, ErrorCode } from './errors.ts';
import type { Owner } from './ipam/store.ts';
import { hostInterfaceName, networkHash } from './names.ts';
import { parsePortSettings } from './port-config.ts';
import { addPorts, checkPorts, type PortOwner, removePorts } from './ports.ts';
import type { Request } from './protocol.ts';
import type { CniInterface, CniResult } from './result.ts';
import type { Undo } from './undo.ts';

/**
 * What a runtime asks for beside an interface, by `runtimeConfig`: ports of the node that lead to the pod, and limits of its
 * bandwidth. `mac` and `ips` are the bridge's and the address store's; `aliases` are for plugins that know names, and ignored.
 */
export function addCapabilities(request: Request, conf: JsonObject, result: CniResult, undo: Undo): CniResult {
  const ports = parsePortSettings(conf);
  const bandwidth = parseBandwidth(conf);
  let { interfaces } = result;
  if (bandwidth !== undefined) {
    const owner = { ...ownerOf(request), network: request.networkName };
    undo.push(() => withNetlink({}, (nl) => removeBandwidth(nl, owner.hostName)));
    withNetlink({}, (nl) => {
      const ifb = addBandwidth(nl, owner, hostEnd(request, nl), bandwidth);
      if (ifb !== undefined) interfaces = [...interfaces, { name: ifb.name, ...(ifb.mac && { mac: ifb.mac }) }];
    });
  }
  if (ports.mappings.length > 0) {
    const owner = portOwner(request);
    undo.push(() => removePorts(owner));
    addPorts(owner, ports, podAddresses(request, result), bridgeOf(result));
  }
  return { ...result, interfaces };
}

export function checkCapabilities(request: Request, conf: JsonObject, previous: CniResult): void {
  const bandwidth = parseBandwidth(conf);
  if (bandwidth !== undefined) {
    const { hostName } = ownerOf(request);
    withNetlink({}, (nl) => checkBandwidth(nl, hostName, hostEnd(request, nl), bandwidth));
  }
  const ports = parsePortSettings(conf);
  if (ports.mappings.length > 0) checkPorts(portOwner(request), ports, podAddresses(request, previous));
}

/** DEL and GC, first of all: whatever there is, as the configuration may have changed. */
export function removeCapabilities(networkName: string, owner: Owner): void {
  const attachment = hostInterfaceName(owner.containerId, owner.ifName);
  removePorts({ attachment, network: networkHash(networkName) });
  withNetlink({}, (nl) => removeBandwidth(nl, attachment));
}

function ownerOf({ containerId, ifName }: Request) {
  return { hostName: hostInterfaceName(containerId, ifName), containerId, ifName };
}

export function portOwner(request: Request): PortOwner {
  return { attachment: ownerOf(request).hostName, network: networkHash(request.networkName) };
}

/** Those of the pod's interface. */
export function podAddresses(request: Request, { interfaces, ips }: CniResult): InterfaceAddress[] {
  const isPod = (link: CniInterface | undefined): boolean =>
    link?.name === request.ifName && (link.sandbox ?? '') !== '';
  return ips
    .filter((ip) => ip.interface === undefined || isPod(interfaces[ip.interface]))
    .map((ip) => parseInterfaceAddress(ip.address));
}

/** Our own bridge stands first in a result, the host's end of the pair second. */
function bridgeOf({ interfaces: [bridge] }: CniResult): string | undefined {
  return bridge?.name;
}

function hostEnd(request: Request, nl: Netlink): Link {
  const { hostName } = ownerOf(request);
  const link = getLink(nl, hostName);
  if (link === undefined) throw new CniError(ErrorCode.internal, `interface ${hostName} has gone`);
  return link;
}
