import { isJsonObject, type Json, type JsonObject, type MutableJsonObject } from '@flannel-ts/flannel/go-json';
import { CniError, ErrorCode } from './errors.ts';
import { arrayField, integerField, objectField, objectsField, stringField } from './json.ts';
import { type CniVersion, isSupportedVersion, versionAtLeast } from './protocol.ts';

/**
 * A result in the shape of 1.1.0, and its conversions. Shapes: 0.1.0 and 0.2.0 hold one address per family (`ip4`,
 * `ip6`); 0.3.0 to 0.4.0 hold lists with `version` in each address; 1.0.0 drops `version`; 1.1.0 adds fields to
 * interfaces and routes. Key order and indentation are those of Go's reference library.
 */
export interface CniInterface {
  readonly name: string;
  readonly mac?: string;
  readonly mtu?: number;
  readonly sandbox?: string;
  readonly socketPath?: string;
  readonly pciID?: string;
}
export interface CniAddress {
  /** Index into `interfaces`. */
  readonly interface?: number;
  /** With prefix length. */
  readonly address: string;
  readonly gateway?: string;
}
export interface CniRoute {
  readonly dst: string;
  readonly gw?: string;
  readonly mtu?: number;
  readonly advmss?: number;
  readonly priority?: number;
  readonly table?: number;
  readonly scope?: number;
}
export interface CniDns {
  readonly nameservers?: readonly string[];
  readonly domain?: string;
  readonly search?: readonly string[];
  readonly options?: readonly string[];
}
export interface CniResult {
  readonly interfaces: readonly CniInterface[];
  readonly ips: readonly CniAddress[];
  readonly routes: readonly CniRoute[];
  readonly dns: CniDns;
}

export function isIpv6(addressOrPrefix: string): boolean {
  return addressOrPrefix.includes(':');
}

export function formatResult(result: CniResult, version: CniVersion): string {
  return JSON.stringify(encodeResult(result, version), undefined, 4);
}

export function encodeResult(result: CniResult, version: CniVersion): JsonObject {
  if (!versionAtLeast(version, '0.3.0')) return encodeFamilies(result, version);
  const isOld = !versionAtLeast(version, '1.0.0');
  const body: MutableJsonObject = { cniVersion: version };
  if (result.interfaces.length > 0) body.interfaces = result.interfaces.map((link) => encodeInterface(link, isOld));
  if (result.ips.length > 0) body.ips = result.ips.map((ip) => encodeAddress(ip, isOld));
  if (result.routes.length > 0) body.routes = result.routes.map(encodeRoute);
  const dns = encodeDns(result.dns);
  if (isOld || Object.keys(dns).length > 0) body.dns = dns;
  return body;
}

function encodeInterface(link: CniInterface, isOld: boolean): JsonObject {
  const body: MutableJsonObject = { name: link.name };
  if (link.mac) body.mac = link.mac;
  if (link.mtu && !isOld) body.mtu = link.mtu;
  if (link.sandbox) body.sandbox = link.sandbox;
  if (link.socketPath && !isOld) body.socketPath = link.socketPath;
  if (link.pciID && !isOld) body.pciID = link.pciID;
  return body;
}

function encodeAddress(ip: CniAddress, isOld: boolean): JsonObject {
  const body: MutableJsonObject = {};
  if (isOld) body.version = isIpv6(ip.address) ? '6' : '4';
  if (ip.interface !== undefined) body.interface = ip.interface;
  body.address = ip.address;
  if (ip.gateway) body.gateway = ip.gateway;
  return body;
}

function encodeRoute(route: CniRoute): JsonObject {
  const body: MutableJsonObject = { dst: route.dst };
  if (route.gw) body.gw = route.gw;
  if (route.mtu) body.mtu = route.mtu;
  if (route.advmss) body.advmss = route.advmss;
  if (route.priority) body.priority = route.priority;
  if (route.table !== undefined) body.table = route.table;
  if (route.scope !== undefined) body.scope = route.scope;
  return body;
}

function encodeDns(dns: CniDns): JsonObject {
  const body: MutableJsonObject = {};
  if (dns.nameservers && dns.nameservers.length > 0) body.nameservers = dns.nameservers;
  if (dns.domain) body.domain = dns.domain;
  if (dns.search && dns.search.length > 0) body.search = dns.search;
  if (dns.options && dns.options.length > 0) body.options = dns.options;
  return body;
}

/** 0.1.0 and 0.2.0: the first address of each family, with the routes of that family; interfaces have no place. */
function encodeFamilies(result: CniResult, version: CniVersion): JsonObject {
  const body: MutableJsonObject = { cniVersion: version };
  for (const family of ['ip4', 'ip6'] as const) {
    const isSix = family === 'ip6';
    const ip = result.ips.find((candidate) => isIpv6(candidate.address) === isSix);
    if (ip === undefined) continue;
    const entry: MutableJsonObject = { ip: ip.address };
    if (ip.gateway) entry.gateway = ip.gateway;
    const routes = result.routes.filter((route) => isIpv6(route.dst) === isSix);
    if (routes.length > 0) entry.routes = routes.map(({ dst, gw }) => (gw ? { dst, gw } : { dst }));
    body[family] = entry;
  }
  if (body.ip4 === undefined && body.ip6 === undefined) {
    throw new CniError(ErrorCode.internal, 'cannot convert: no valid IP addresses');
  }
  body.dns = encodeDns(result.dns);
  return body;
}

/** Reads a result of any supported version; one without cniVersion is of the version of the configuration. */
export function decodeResult(value: JsonObject, configVersion: CniVersion): CniResult {
  const version = stringField(value, 'cniVersion') || configVersion;
  if (!isSupportedVersion(version)) {
    throw new CniError(ErrorCode.incompatibleVersion, `unsupported CNI result version "${version}"`);
  }
  const dns = decodeDns(objectField(value, 'dns') ?? {});
  if (!versionAtLeast(version, '0.3.0')) return decodeFamilies(value, dns);
  const interfaces = (objectsField(value, 'interfaces') ?? []).map(decodeInterface);
  const ips = (objectsField(value, 'ips') ?? []).map((ip) => decodeAddress(ip, interfaces.length));
  return { interfaces, ips, routes: decodeRoutes(value), dns };
}

/** The `prevResult` of a configuration; undefined when there is none. */
export function decodePreviousResult(config: JsonObject, version: CniVersion): CniResult | undefined {
  const previous = objectField(config, 'prevResult');
  return previous === undefined ? undefined : decodeResult(previous, version);
}

function optional<T extends object>(entries: T): T {
  const copy = { ...entries };
  for (const key of Object.keys(copy) as (keyof T)[]) if (copy[key] === undefined) delete copy[key];
  return copy;
}

function decodeInterface(body: JsonObject): CniInterface {
  return optional({
    name: stringField(body, 'name') ?? '',
    mac: stringField(body, 'mac'),
    mtu: integerField(body, 'mtu'),
    sandbox: stringField(body, 'sandbox'),
    socketPath: stringField(body, 'socketPath'),
    pciID: stringField(body, 'pciID'),
  }) as CniInterface;
}

function decodeAddress(body: JsonObject, interfaceCount: number): CniAddress {
  const index = integerField(body, 'interface', 'ips.interface');
  if (index !== undefined && (index < 0 || (interfaceCount > 0 && index >= interfaceCount))) {
    throw new CniError(
      ErrorCode.decodeFailure,
      `ips.interface ${index} is not an index into ${interfaceCount} interfaces`,
    );
  }
  const address = stringField(body, 'address', 'ips.address');
  if (!address) throw new CniError(ErrorCode.decodeFailure, 'an entry of ips has no address');
  return optional({ interface: index, address, gateway: stringField(body, 'gateway') }) as CniAddress;
}

export function decodeRoutes(body: JsonObject): CniRoute[] {
  return (objectsField(body, 'routes') ?? []).map((route) => {
    const dst = stringField(route, 'dst', 'routes.dst');
    if (!dst) throw new CniError(ErrorCode.decodeFailure, 'an entry of routes has no dst');
    return optional({
      dst,
      gw: stringField(route, 'gw', 'routes.gw'),
      mtu: integerField(route, 'mtu', 'routes.mtu'),
      advmss: integerField(route, 'advmss', 'routes.advmss'),
      priority: integerField(route, 'priority', 'routes.priority'),
      table: integerField(route, 'table', 'routes.table'),
      scope: integerField(route, 'scope', 'routes.scope'),
    }) as CniRoute;
  });
}

export function decodeDns(body: JsonObject): CniDns {
  const list = (name: string): string[] | undefined => {
    const values = arrayField(body, name, `dns.${name}`);
    return values?.filter((value: Json): value is string => typeof value === 'string');
  };
  return optional({
    nameservers: list('nameservers'),
    domain: stringField(body, 'domain', 'dns.domain'),
    search: list('search'),
    options: list('options'),
  }) as CniDns;
}

function decodeFamilies(body: JsonObject, dns: CniDns): CniResult {
  const ips: CniAddress[] = [];
  const routes: CniRoute[] = [];
  for (const family of ['ip4', 'ip6']) {
    const entry = objectField(body, family);
    if (!isJsonObject(entry)) continue;
    const address = stringField(entry, 'ip', `${family}.ip`);
    if (!address) throw new CniError(ErrorCode.decodeFailure, `${family} has no ip`);
    ips.push(optional({ address, gateway: stringField(entry, 'gateway') }) as CniAddress);
    routes.push(...decodeRoutes(entry));
  }
  return { interfaces: [], ips, routes, dns };
}

/** What a runtime may read as "no address" must not leave a plugin: used on delegated IPAM results. */
export function requireAddresses(result: CniResult): CniResult {
  if (result.ips.length > 0) return result;
  throw new CniError(ErrorCode.internal, 'IPAM plugin returned missing IP config');
}
