import type { JsonObject } from '@flannel-ts/flannel/go-json';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import { isNetlinkError } from '@flannel-ts/rtnetlink/errors';
import { ensureLinkAbsent, getLink, type Link, listLinks, setLink } from '@flannel-ts/rtnetlink/link';
import { addIfb } from '@flannel-ts/rtnetlink/link-add';
import { getRateLimit, type RateLimit, redirectIngress, setRateLimit } from '@flannel-ts/rtnetlink/qdisc';
import { CniError, ErrorCode, messageOf } from './errors.ts';
import { integerField, objectField } from './json.ts';

/**
 * Limits of a pod's rates. What goes to the pod leaves the host by the host's end of its pair, and is held up there. What comes from
 * it comes in there, where nothing can wait: it is led by a link of its own (ifb), which it leaves at its rate.
 */
export interface Bandwidth {
  /** To the pod. */
  readonly ingress: RateLimit | undefined;
  /** From the pod. */
  readonly egress: RateLimit | undefined;
}

/** How long a packet may wait for its turn, as the reference plugin has it. */
const LATENCY_SECONDS = 0.025;
const MAX_UINT32 = 0xffff_ffff;

/** Bits and bits in a second, from the runtime or, first, from the configuration; undefined where nothing is to be limited. */
export function parseBandwidth(conf: JsonObject): Bandwidth | undefined {
  const runtime = objectField(objectField(conf, 'runtimeConfig') ?? {}, 'bandwidth', 'runtimeConfig.bandwidth') ?? {};
  const own = ['ingressRate', 'ingressBurst', 'egressRate', 'egressBurst'].some((key) => integerField(conf, key));
  const source = own ? conf : runtime;
  const ingress = limitOf(source, 'ingress');
  const egress = limitOf(source, 'egress');
  return ingress === undefined && egress === undefined ? undefined : { ingress, egress };
}

function limitOf(source: JsonObject, direction: string): RateLimit | undefined {
  const rate = integerField(source, `${direction}Rate`, `bandwidth.${direction}Rate`) ?? 0;
  const burst = integerField(source, `${direction}Burst`, `bandwidth.${direction}Burst`) ?? 0;
  if (rate < 0 || burst < 0) throw invalid('rate and burst must be a positive integer');
  if (burst === 0 && rate !== 0) throw invalid('if rate is set, burst must also be set');
  if (rate === 0 && burst !== 0) throw invalid('if burst is set, rate must also be set');
  if (burst / 8 >= MAX_UINT32) throw invalid('burst cannot be more than 4GB');
  if (rate === 0) return undefined;
  const bytes = Math.floor(rate / 8);
  if (bytes === 0) throw invalid(`a rate of ${rate} bits in a second is none: write 8 or more`);
  const burstBytes = Math.floor(burst / 8);
  const limit = Math.min(MAX_UINT32, Math.floor(bytes * LATENCY_SECONDS) + burstBytes);
  return { rate: bytes, burst: burstBytes, limit };
}

function invalid(message: string): CniError {
  return new CniError(ErrorCode.invalidNetworkConfig, message);
}

/** The link of an attachment that holds up what its pod sends. `hostName` is `veth...` by names.ts. */
export function ifbName(hostName: string): string {
  return hostName.replace(/^veth/, 'bwp');
}

/** Whose link it is: noted at the link, for GC and for people. */
export interface BandwidthOwner {
  readonly hostName: string;
  readonly network: string;
  readonly containerId: string;
  readonly ifName: string;
}

function aliasOf({ network, containerId, ifName }: BandwidthOwner): string {
  return `${network} ${containerId} ${ifName}`.slice(0, 255);
}

/** ADD: `port` is the host's end. The link that was made, for the result. */
export function addBandwidth(nl: Netlink, owner: BandwidthOwner, port: Link, bandwidth: Bandwidth): Link | undefined {
  try {
    if (bandwidth.ingress !== undefined) setRateLimit(nl, port.index, bandwidth.ingress);
    if (bandwidth.egress === undefined) return undefined;
    const name = ifbName(owner.hostName);
    ensureLinkAbsent(nl, name); // of an ADD that was killed
    const ifb = addIfb(nl, { name, mtu: port.mtu, up: true });
    setLink(nl, ifb.index, { alias: aliasOf(owner) });
    setRateLimit(nl, ifb.index, bandwidth.egress);
    redirectIngress(nl, port.index, ifb.index);
    return ifb;
  } catch (error) {
    if (!isNetlinkError(error, 'ENOENT', 'EOPNOTSUPP')) throw error;
    throw new CniError(
      ErrorCode.unsupportedField,
      'unsupported field: runtimeConfig.bandwidth: this kernel cannot limit the bandwidth of a pod',
      messageOf(error),
      { cause: error },
    );
  }
}

/** DEL: the rest goes with the host's end. */
export function removeBandwidth(nl: Netlink, hostName: string): void {
  const link = getLink(nl, ifbName(hostName));
  if (link?.kind === 'ifb') ensureLinkAbsent(nl, link.index);
}

/** GC: the links of a network that belong to none of the valid attachments. */
export function removeStaleBandwidth(nl: Netlink, network: string, valid: ReadonlySet<string>): void {
  for (const { index, name, alias } of listLinks(nl, { kind: 'ifb' })) {
    const isOurs = name.startsWith('bwp') && alias?.split(' ')[0] === network;
    if (isOurs && !valid.has(name.replace(/^bwp/, 'veth'))) ensureLinkAbsent(nl, index);
  }
}

export function checkBandwidth(nl: Netlink, hostName: string, port: Link, { ingress, egress }: Bandwidth): void {
  if (ingress !== undefined) checkLimit(nl, port, ingress, 'to');
  if (egress === undefined) return;
  const ifb = getLink(nl, ifbName(hostName));
  if (ifb === undefined) throw wrong(`link ${ifbName(hostName)} is missing, which limits what the pod sends`);
  if (!ifb.up) throw wrong(`link ${ifb.name} is down, which limits what the pod sends`);
  checkLimit(nl, ifb, egress, 'from');
}

function checkLimit(nl: Netlink, link: Link, wanted: RateLimit, way: string): void {
  const found = getRateLimit(nl, link.index);
  if (found?.rate === wanted.rate && found.limit === wanted.limit) return;
  const is = found === undefined ? 'there is no limit' : `it is ${found.rate * 8} bits in a second`;
  throw wrong(`the rate ${way} the pod is not limited to ${wanted.rate * 8} bits in a second on ${link.name}: ${is}`);
}

function wrong(message: string): CniError {
  return new CniError(ErrorCode.checkFailed, message, 'tc qdisc show');
}
