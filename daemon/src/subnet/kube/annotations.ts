/** flannel's annotations of a node: their names, and how a lease's attributes are written there (subnet/kube/annotations.go, kube.go). */

import { goStringify } from '@flannel-ts/flannel/go-json';
import type { LeaseAttributes, NodeAddresses } from '@flannel-ts/flannel/lease';
import { formatIp, isIpText, parseIp, unspecifiedIp } from '@flannel-ts/inet/ip';
import { DaemonError } from '../../errors.ts';

/** Their full names, like flannel.alpha.coreos.com/backend-type. */
export interface AnnotationNames {
  readonly managed: string;
  readonly backendType: string;
  readonly backendData: string;
  readonly backendV6Data: string;
  readonly publicIp: string;
  readonly publicIpv6: string;
  /** Written by an operator: what other nodes are told instead of the node's own address. */
  readonly publicIpOverwrite: string;
  readonly publicIpv6Overwrite: string;
  /** Written by an operator: like -public-ip. */
  readonly nodePublicIp: string;
  readonly nodePublicIpv6: string;
}

export type Annotations = Readonly<Record<string, string>>;

// What Kubernetes takes for the name of an annotation; upper case is refused there.
const PREFIX = /^(?:[a-z0-9_-]+\.)+[a-z0-9_-]+\/(?:[a-z0-9_-]+-)?$/;

/** "a.b" gives a.b/NAME, "a.b/c" gives a.b/c-NAME. */
export function annotationNames(prefix: string): AnnotationNames {
  const slash = prefix.includes('/') ? prefix : `${prefix}/`;
  const complete = /[/-]$/.test(slash) ? slash : `${slash}-`;
  if (!PREFIX.test(complete)) {
    throw new DaemonError(
      'USAGE',
      `Invalid prefix of annotations ${JSON.stringify(prefix)}: write a domain name in lower case like flannel.alpha.coreos.com, and if need be a slash and a word`,
    );
  }
  return {
    managed: `${complete}kube-subnet-manager`,
    backendType: `${complete}backend-type`,
    backendData: `${complete}backend-data`,
    backendV6Data: `${complete}backend-v6-data`,
    publicIp: `${complete}public-ip`,
    publicIpv6: `${complete}public-ipv6`,
    publicIpOverwrite: `${complete}public-ip-overwrite`,
    publicIpv6Overwrite: `${complete}public-ipv6-overwrite`,
    nodePublicIp: `${complete}node-public-ip`,
    nodePublicIpv6: `${complete}node-public-ipv6`,
  };
}

/** What a flanneld writes; the others are the operator's. */
export function writtenNames(names: AnnotationNames): string[] {
  return [
    ...[names.managed, names.backendType, names.backendData, names.backendV6Data],
    ...[names.publicIp, names.publicIpv6],
  ];
}

/**
 * Byte for byte what flannel writes. Of udp and ipip it publishes no IPv6 address, since it has no IPv6 for them; here they have.
 */
export function formatAnnotations(attributes: LeaseAttributes, names: AnnotationNames): Annotations {
  const { backendType, backendData, backendV6Data, publicIp, publicIpv6 } = attributes;
  const hasIpv4 = backendType !== 'vxlan' || backendData !== undefined;
  const needsV6Data = backendType === 'vxlan' || backendType === 'wireguard';
  const hasIpv6 = publicIpv6 !== undefined && (!needsV6Data || backendV6Data !== undefined);
  return {
    [names.managed]: 'true',
    [names.backendType]: backendType,
    ...(hasIpv4 && {
      [names.backendData]: goStringify(backendData ?? null),
      [names.publicIp]: formatIp(publicIp ?? unspecifiedIp(4)),
    }),
    ...(hasIpv6 && {
      [names.backendV6Data]: goStringify(backendV6Data ?? null),
      [names.publicIpv6]: formatIp(publicIpv6),
    }),
  };
}

/** Undefined: no flanneld of this prefix runs there. Throws when it does, and what it says cannot be read. */
export function parseAnnotations(annotations: Annotations, names: AnnotationNames): LeaseAttributes | undefined {
  if (annotations[names.managed] !== 'true') return undefined;
  const publicIp = addressIn(annotations, names.publicIp, 4) || undefined;
  const publicIpv6 = addressIn(annotations, names.publicIpv6, 6) || undefined;
  if (publicIp === undefined && publicIpv6 === undefined) throw invalid(`the annotation ${names.publicIp} is missing`);
  const backendData = dataIn(annotations, names.backendData);
  const backendV6Data = dataIn(annotations, names.backendV6Data);
  return {
    ...(publicIp !== undefined && { publicIp }),
    ...(publicIpv6 !== undefined && { publicIpv6 }),
    backendType: annotations[names.backendType] ?? '',
    ...(backendData !== undefined && { backendData }),
    ...(backendV6Data !== undefined && { backendV6Data }),
  };
}

/** What the node's operator wants others to be told instead. */
export function overwrites(annotations: Annotations, names: AnnotationNames): NodeAddresses {
  return addresses(annotations, names.publicIpOverwrite, names.publicIpv6Overwrite);
}

/** What the node's operator chose for its own address. */
export function chosenAddresses(annotations: Annotations, names: AnnotationNames): NodeAddresses {
  return addresses(annotations, names.nodePublicIp, names.nodePublicIpv6);
}

function addresses(annotations: Annotations, ipv4: string, ipv6: string): NodeAddresses {
  const publicIp = addressIn(annotations, ipv4, 4);
  const publicIpv6 = addressIn(annotations, ipv6, 6);
  return { ...(publicIp !== undefined && { publicIp }), ...(publicIpv6 !== undefined && { publicIpv6 }) };
}

function addressIn<F extends 4 | 6>(annotations: Annotations, name: string, family: F) {
  const text = annotations[name];
  if (text === undefined || text === '') return undefined;
  if (!isIpText(text, family)) {
    throw invalid(`the annotation ${name} is ${JSON.stringify(text)}: write an IPv${family} address`);
  }
  return parseIp(text, family);
}

/** flannel writes null where a backend has no data. */
function dataIn(annotations: Annotations, name: string): unknown {
  const text = annotations[name];
  if (text === undefined || text === '' || text === 'null') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw invalid(`the annotation ${name} is no JSON`);
  }
}

function invalid(message: string): DaemonError {
  return new DaemonError('INVALID_CONFIG', message);
}
