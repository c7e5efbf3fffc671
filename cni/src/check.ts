import type { JsonObject } from '@flannel-ts/flannel/go-json';
import { formatInterfaceAddress, formatPrefix, interfacePrefix } from '@flannel-ts/inet/prefix';
import type { Fd } from '@flannel-ts/linux/files';
import { listAddresses } from '@flannel-ts/rtnetlink/address';
import { withNetlink } from '@flannel-ts/rtnetlink/connection';
import { getLink, type Link } from '@flannel-ts/rtnetlink/link';
import { formatDestination, listRoutes } from '@flannel-ts/rtnetlink/route';
import { parseBridgeConfig } from './bridge-config.ts';
import { ipamType } from './delegate.ts';
import { CniError, ErrorCode } from './errors.ts';
import { execPlugin } from './exec.ts';
import { readInterfaceAddress, readIp } from './ipam/address.ts';
import { storeDirectory } from './ipam/config.ts';
import { holdsAddress } from './ipam/host-local.ts';
import { checkMacCheck } from './mac-check.ts';
import { listMasquerade } from './masquerade.ts';
import { hostInterfaceName } from './names.ts';
import { parseCniArgs, type Request } from './protocol.ts';
import { hasReferenceMasquerade } from './reference-masquerade.ts';
import { type CniInterface, type CniResult, isIpv6 } from './result.ts';

/** What is not as ADD left it. Plugins after us in the chain may have added routes and changed MAC addresses in prevResult. */
function wrong(message: string, details = ''): CniError {
  return new CniError(ErrorCode.checkFailed, message, details);
}

export function check(request: Request, sandbox: Fd, rendered: JsonObject, previous: CniResult): void {
  const config = parseBridgeConfig(rendered, parseCniArgs(request.args, ['IP', 'MAC']));
  const container = previous.interfaces.find(
    (link) => link.name === request.ifName && (link.sandbox ?? '') === request.netns,
  );
  if (container === undefined) {
    throw wrong(`prevResult does not name the interface ${request.ifName} in ${request.netns}`);
  }
  const ips = previous.ips.filter(
    (ip) => ip.interface === undefined || previous.interfaces[ip.interface] === container,
  );
  checkReservation(
    request,
    rendered,
    ips.map((ip) => ip.address),
  );
  const inPod = checkContainer(request, sandbox, container, { ...previous, ips }, config.disableContainerInterface);
  checkHostSide(request, previous, inPod, config.bridge);
  if (config.macspoofchk) {
    checkMacCheck(hostInterfaceName(request.containerId, request.ifName), inPod.mac ?? '');
  }
  if (config.ipMasq)
    checkMasquerade(
      request,
      ips.map((ip) => ip.address),
    );
}

function checkReservation(request: Request, rendered: JsonObject, addresses: readonly string[]): void {
  const type = ipamType(rendered);
  if (type === '') return;
  if (type !== 'host-local') {
    execPlugin(type, 'CHECK', request, { ...rendered, prevResult: request.config.prevResult ?? null });
    return;
  }
  const owner = { containerId: request.containerId, ifName: request.ifName };
  const directory = storeDirectory(rendered, request.networkName);
  for (const address of addresses) {
    const ip = readIp(address.split('/')[0] ?? '');
    if (ip === undefined || !holdsAddress(directory, owner, ip)) {
      throw wrong(
        `host-local: Failed to find address added by container ${request.containerId}`,
        `${address} is not reserved for ${request.ifName} in ${directory}`,
      );
    }
  }
}

function checkContainer(
  request: Request,
  sandbox: Fd,
  expected: CniInterface,
  previous: CniResult,
  mayBeDown: boolean,
): Link {
  return withNetlink({ netns: sandbox }, (pod) => {
    const link = getLink(pod, request.ifName);
    if (link === undefined) throw wrong(`interface ${request.ifName} is missing in ${request.netns}`);
    if (link.kind !== 'veth') throw wrong(`interface ${request.ifName} is of kind ${link.kind ?? 'none'}, not veth`);
    if (!link.up && !mayBeDown) throw wrong(`interface ${request.ifName} is down`);
    if (expected.mac && link.mac !== expected.mac.toLowerCase()) {
      throw wrong(`interface ${request.ifName} has MAC address ${link.mac}, prevResult says ${expected.mac}`);
    }
    for (const family of [4, 6] as const) {
      const isOfFamily = (text: string): boolean => isIpv6(text) === (family === 6);
      const ips = previous.ips.filter((ip) => isOfFamily(ip.address));
      const routes = previous.routes.filter((route) => isOfFamily(route.dst));
      if (ips.length === 0 && routes.length === 0) continue;
      const addresses = listAddresses(pod, { index: link.index, family });
      const present = addresses.map(({ address }) => formatInterfaceAddress(address));
      const missing = ips.find((ip) => !present.includes(canonical(ip.address)));
      if (missing !== undefined) throw wrong(`address ${missing.address} is missing on ${request.ifName}`);
      const destinations = listRoutes(pod, { family, table: 0 }).map((route) => formatDestination(route));
      const wanted = [...ips.map((ip) => subnetOf(ip.address)), ...routes.map((route) => destinationOf(route.dst))];
      const lost = wanted.find((destination) => !destinations.includes(destination));
      if (lost !== undefined) throw wrong(`route ${lost} is missing in ${request.netns}`);
    }
    return link;
  });
}

function canonical(text: string): string {
  const address = readInterfaceAddress(text);
  return address === undefined ? text : formatInterfaceAddress(address);
}

function subnetOf(text: string): string {
  const address = readInterfaceAddress(text);
  return address === undefined ? text : formatPrefix(interfacePrefix(address));
}

function destinationOf(text: string): string {
  const subnet = subnetOf(text);
  return subnet.endsWith('/0') ? 'default' : subnet;
}

function checkHostSide(request: Request, previous: CniResult, inPod: Link, bridgeName: string): void {
  withNetlink({}, (nl) => {
    const bridge = getLink(nl, bridgeName);
    if (bridge?.kind !== 'bridge') throw wrong(`bridge ${bridgeName} is missing`);
    if (!bridge.up) throw wrong(`bridge ${bridgeName} is down`);
    const expectedBridge = previous.interfaces.find((link) => link.name === bridgeName && !link.sandbox);
    if (expectedBridge?.mac && bridge.mac !== expectedBridge.mac.toLowerCase()) {
      throw wrong(`bridge ${bridgeName} has MAC address ${bridge.mac}, prevResult says ${expectedBridge.mac}`);
    }
    const port = inPod.peerIndex === undefined ? undefined : getLink(nl, inPod.peerIndex);
    const expectedPort = previous.interfaces.find((link) => !link.sandbox && link.name === port?.name);
    if (port === undefined || port.peerIndex !== inPod.index || expectedPort === undefined) {
      throw wrong(`the host's end of ${request.ifName} is missing or is not the one in prevResult`);
    }
    if (expectedPort.mac && port.mac !== expectedPort.mac.toLowerCase()) {
      throw wrong(`interface ${port.name} has MAC address ${port.mac}, prevResult says ${expectedPort.mac}`);
    }
    if (port.master !== bridge.index) throw wrong(`interface ${port.name} is not a port of ${bridgeName}`);
    if (!port.up) throw wrong(`interface ${port.name} is down`);
  });
}

function checkMasquerade(request: Request, addresses: readonly string[]): void {
  const hostName = hostInterfaceName(request.containerId, request.ifName);
  const present = listMasquerade();
  const { networkName: network, containerId, deadline } = request;
  for (const address of addresses) {
    const [ip] = canonical(address).split('/');
    if (present.some((element) => element.address === ip && element.owner === hostName)) continue;
    if (hasReferenceMasquerade({ network, containerId }, deadline)) continue;
    throw wrong(`masquerading for ${ip} is missing`, 'nft list table inet flannel_cni');
  }
}
