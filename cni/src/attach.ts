import type { JsonObject } from '@flannel-ts/flannel/go-json';
import { addToIp, formatIp, type Ip, isIpv4, parseIp } from '@flannel-ts/inet/ip';
import { type InterfaceAddress, interfacePrefix, parseInterfaceAddress, parsePrefix } from '@flannel-ts/inet/prefix';
import type { Fd } from '@flannel-ts/linux/files';
import { withNetlink } from '@flannel-ts/rtnetlink/connection';
import { getLink, type Link } from '@flannel-ts/rtnetlink/link';
import type { RouteSpec } from '@flannel-ts/rtnetlink/route';
import { type AfterBoot, releaseAfterBoot } from './after-boot.ts';
import { announce } from './announce.ts';
import { enableForwarding, ensureBridge, ensureGateway } from './bridge.ts';
import { type BridgeConfig, parseBridgeConfig } from './bridge-config.ts';
import { ipamType } from './delegate.ts';
import { CniError, ErrorCode, messageOf } from './errors.ts';
import { execAdd, execPlugin, findPlugin } from './exec.ts';
import { readInterfaceAddress, readIp } from './ipam/address.ts';
import { parseHostLocal } from './ipam/config.ts';
import { ipamResult, reserveAddresses, returnAddresses } from './ipam/host-local.ts';
import { Store } from './ipam/store.ts';
import { addMacCheck, removeMacCheck } from './mac-check.ts';
import { addMasquerade, removeMasquerade } from './masquerade.ts';
import { masqueradedPods } from './masqueraded.ts';
import { bridgeMac, hostInterfaceName, hostMac, podMac } from './names.ts';
import { parseCniArgs, type Request } from './protocol.ts';
import { type CniAddress, type CniResult, type CniRoute, isIpv6, requireAddresses } from './result.ts';
import {
  awaitForwarding,
  configureContainer,
  connectPort,
  createPair,
  deletePair,
  type SandboxPlan,
} from './sandbox.ts';
import type { Undo } from './undo.ts';
import { ensureVlanGateway, setPortVlans } from './vlan.ts';

/** CNI_ARGS that bridge and host-local understand between them. */
const KNOWN_ARGS = ['IP', 'MAC'];

/** Where things are kept, and whether there is a file of an ADD before. */
export interface Known extends AfterBoot {
  readonly mayHoldAddress: boolean;
}

/** ADD by our own bridge: address, pair, bridge, routes, masquerading. Whatever fails is taken back through `undo`. */
export function attach(request: Request, sandbox: Fd, rendered: JsonObject, known: Known, undo: Undo): CniResult {
  const args = parseCniArgs(request.args, KNOWN_ARGS);
  const config = parseBridgeConfig(rendered, args);
  const ipam = withGateways(takeAddresses(request, rendered, args, known, undo), config);
  const plan = planSandbox(request, sandbox, config, ipam);
  return withNetlink({}, (nl) => {
    const gateway = principal(ipam.ips.map((ip) => ip.gateway));
    const bridge = ensureBridge(nl, config, gateway && bridgeMac(gateway));
    const port = createPair(nl, plan, bridge);
    undo.push(() => deletePair(plan.hostName));
    if (config.vlans !== undefined) setPortVlans(nl, port, config.vlans);
    if (config.isGateway) {
      const place = config.vlans?.vlan === undefined ? bridge : ensureVlanGateway(nl, bridge, config, config.vlans);
      for (const gateway of gatewayAddresses(ipam)) ensureGateway(nl, place, gateway, config.forceAddress);
      enableForwarding(plan.addresses);
    }
    if (config.macspoofchk) {
      undo.push(() => removeMacCheck(plan.hostName));
      addMacCheck(plan.hostName, plan.mac);
    }
    connectPort(nl, port, { hairpin: config.hairpinMode, isolated: config.portIsolation });
    const inPod = port.peerIndex ?? missingPeer(port);
    configureContainer(plan, inPod, request.deadline);
    if (config.ipMasq) {
      undo.push(() => removeMasquerade(plan.addresses.map(({ address }) => address)));
      const pod = { owner: plan.hostName, addresses: plan.addresses };
      addMasquerade(pod, () => masqueradedPods(known.dataDir, request.version));
    }
    if (!plan.staysDown) {
      awaitForwarding(nl, port, request.deadline);
      announce(
        sandbox,
        inPod,
        plan.mac,
        plan.addresses.map(({ address }) => address),
      );
    }
    // A bridge that is no gateway may have taken the port's address.
    const found = config.isGateway ? bridge : { ...bridge, mac: getLink(nl, bridge.index)?.mac ?? bridge.mac };
    return describe(request, config, ipam, plan, found);
  });
}

function missingPeer(port: Link): never {
  throw new CniError(ErrorCode.internal, `the kernel did not tell the other end of ${port.name}`);
}

function takeAddresses(
  request: Request,
  rendered: JsonObject,
  args: ReadonlyMap<string, string>,
  known: Known,
  undo: Undo,
): CniResult {
  const type = ipamType(rendered);
  if (type === '') return NO_ADDRESSES;
  if (type !== 'host-local') {
    findPlugin(type, request.path);
    // Before: it may have allocated something by the time it fails.
    undo.push(() => void execPlugin(type, 'DEL', request, rendered));
    return requireAddresses(execAdd(type, request, rendered));
  }
  const config = parseHostLocal(rendered, request.networkName, request.version, args);
  const store = new Store(config.directory, request.deadline);
  const owner = { containerId: request.containerId, ifName: request.ifName };
  if (known.subnetFile !== '') releaseAfterBoot(store, known, owner);
  const reservations = reserveAddresses(store, config, owner, known.mayHoldAddress);
  undo.push(() => returnAddresses(store, owner, reservations));
  return ipamResult(config, reservations);
}

/** A pod that is only a port of the bridge. */
const NO_ADDRESSES: CniResult = { interfaces: [], ips: [], routes: [], dns: {} };

/** A gateway needs an address: the network's first, unless IPAM names one. */
function withGateways(ipam: CniResult, config: BridgeConfig): CniResult {
  const ips = ipam.ips.map((ip): CniAddress => {
    if (ip.gateway || !config.isGateway) return ip;
    const address = readInterfaceAddress(ip.address);
    if (address === undefined) return ip;
    return { ...ip, gateway: formatIp(addToIp<Ip>(interfacePrefix(address).base, 1)) };
  });
  return {
    ...ipam,
    ips,
    routes: [...ipam.routes, ...(config.isDefaultGateway ? defaultRoutes(ips, ipam.routes) : [])],
  };
}

function defaultRoutes(ips: readonly CniAddress[], present: readonly CniRoute[]): CniRoute[] {
  const routes: CniRoute[] = [];
  for (const dst of ['0.0.0.0/0', '::/0']) {
    const gateway = ips.find((ip) => ip.gateway && isIpv6(ip.address) === isIpv6(dst))?.gateway;
    const isThere = present.some((route) => route.dst === dst && route.gw);
    if (gateway !== undefined && !isThere) routes.push({ dst, gw: gateway });
  }
  return routes;
}

function readable<T>(what: string, text: string, parse: (text: string) => T): T {
  try {
    return parse(text);
  } catch (error) {
    throw new CniError(ErrorCode.invalidNetworkConfig, `invalid ${what} ${JSON.stringify(text)}: ${messageOf(error)}`);
  }
}

function planSandbox(request: Request, sandbox: Fd, config: BridgeConfig, ipam: CniResult): SandboxPlan {
  const hostName = hostInterfaceName(request.containerId, request.ifName);
  const ip = principal(ipam.ips.map((entry) => entry.address.split('/')[0]));
  return {
    netns: sandbox,
    netnsPath: request.netns,
    ifName: request.ifName,
    hostName,
    mac: config.mac ?? podMac(hostName, ip),
    hostMac: hostMac(hostName, ip),
    mtu: config.mtu,
    detectDuplicates: config.enabledad,
    refuseAdvertisements: config.isGateway,
    staysDown: config.disableContainerInterface,
    addresses: ipam.ips.map((ip) => parseAddress(ip.address)),
    routes: distinct(ipam.routes.map((route) => planRoute(route, ipam.ips))),
  };
}

function parseAddress(text: string): InterfaceAddress {
  return readable('address', text, parseInterfaceAddress);
}

/** Asked for twice means once. */
function distinct(routes: readonly RouteSpec[]): RouteSpec[] {
  const keys = routes.map((route) =>
    JSON.stringify(route, (_key, value) => (typeof value === 'bigint' ? String(value) : value)),
  );
  return routes.filter((_route, i) => keys.indexOf(keys[i]!) === i);
}

/** A route without a gateway goes by the first one of its family, as the reference plugin's do. */
function planRoute(route: CniRoute, ips: readonly CniAddress[]): RouteSpec {
  const { dst, gw, priority, table, scope, mtu, advmss } = route;
  const hop = gw || ips.find((ip) => ip.gateway && isIpv6(ip.address) === isIpv6(dst))?.gateway;
  const destination = readable('route', dst, parsePrefix);
  const gateway = hop === undefined ? undefined : readable('gateway', hop, (text) => parseIp(text, destination.family));
  return { dst: destination, gateway, priority, table, scope, mtu, advmss };
}

function gatewayAddresses(ipam: CniResult): InterfaceAddress[] {
  return ipam.ips
    .filter((ip) => ip.gateway)
    .map((ip) => parseAddress(`${ip.gateway}/${ip.address.slice(ip.address.indexOf('/') + 1)}`));
}

/** The first IPv4 address, else the first one. */
function principal(addresses: readonly (string | undefined)[]): Ip | undefined {
  const ips = addresses.map((text) => (text === undefined ? undefined : readIp(text)));
  return ips.find((ip) => ip !== undefined && isIpv4(ip)) ?? ips.find((ip) => ip !== undefined);
}

/** Interfaces in the order of the reference plugin, which others rely on: bridge, host's end, container's end. */
function describe(request: Request, config: BridgeConfig, ipam: CniResult, plan: SandboxPlan, bridge: Link): CniResult {
  const mtu = config.mtu === undefined ? {} : { mtu: config.mtu };
  const hasDns = Object.values(config.dns).some((value) => value.length > 0);
  return {
    interfaces: [
      { name: bridge.name, ...(bridge.mac && { mac: bridge.mac }), mtu: bridge.mtu },
      { name: plan.hostName, mac: plan.hostMac, ...mtu },
      { name: plan.ifName, mac: plan.mac, ...mtu, sandbox: request.netns },
    ],
    ips: ipam.ips.map((ip) => ({ ...ip, interface: 2 })),
    routes: ipam.routes,
    dns: hasDns ? config.dns : ipam.dns,
  };
}
