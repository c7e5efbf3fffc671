/** What flanneld reads of a Node object of Kubernetes. Pure. */
import { type Lease, type LeaseSubnets, leaseSubnets } from '@flannel-ts/flannel/lease';
import type { SubnetPools } from '@flannel-ts/flannel/subnet-pool';
import { FAMILIES, type Family, familyName } from '@flannel-ts/inet/family';
import { formatPrefix, type Prefix, parsePrefix, prefixCovers } from '@flannel-ts/inet/prefix';
import { type AnnotationNames, type Annotations, parseAnnotations, writtenNames } from './annotations.ts';

export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
}

/** The parts of core/v1 Node that are used. */
export interface NodeObject {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly annotations?: Annotations;
  };
  readonly spec?: { readonly podCIDR?: string; readonly podCIDRs?: readonly string[] };
  readonly status?: { readonly conditions?: readonly Condition[] };
}

/** One node, without the rest of the object: with its images it has 10 KB and more, and a cluster has thousands. */
export interface KubeNode {
  readonly name: string;
  /** Another one when the node was removed and came again. */
  readonly uid: string;
  readonly resourceVersion: string;
  readonly podCidrs: readonly string[];
  /** Of all prefixes. */
  readonly annotations: Annotations;
  readonly networkUnavailable?: Condition;
}

const UNAVAILABLE = 'NetworkUnavailable';

/** `isOurs`: by name of an annotation. */
export function readNode({ metadata, spec, status }: NodeObject, isOurs: (name: string) => boolean): KubeNode {
  const all = Object.entries(metadata.annotations ?? {});
  const condition = status?.conditions?.find(({ type }) => type === UNAVAILABLE);
  const podCidrs = spec?.podCIDRs ?? [];
  return {
    name: metadata.name,
    uid: metadata.uid,
    resourceVersion: metadata.resourceVersion,
    podCidrs: podCidrs.length > 0 ? podCidrs : [spec?.podCIDR ?? ''].filter((text) => text !== ''),
    annotations: Object.fromEntries(all.filter(([name]) => isOurs(name))),
    ...(condition && {
      networkUnavailable: {
        type: UNAVAILABLE,
        status: condition.status,
        ...(condition.reason !== undefined && { reason: condition.reason }),
        ...(condition.message !== undefined && { message: condition.message }),
      },
    }),
  };
}

/** The node's subnets, of the families given; their order in podCIDRs says nothing. */
export function podSubnets(
  { podCidrs }: Pick<KubeNode, 'podCidrs'>,
  families: readonly Family[],
): LeaseSubnets | undefined {
  const prefixes = podCidrs.map((text): Prefix => parsePrefix(text));
  const of = <F extends Family>(family: F) =>
    families.includes(family)
      ? (prefixes.find((prefix) => prefix.family === family) as Prefix<F> | undefined)
      : undefined;
  return leaseSubnets(of(4), of(6));
}

/** Undefined: no lease, which is no trouble; a text: why it has none although its flanneld runs. */
export function leaseOf(
  node: KubeNode,
  families: readonly Family[],
  names: AnnotationNames,
): Lease | string | undefined {
  try {
    const attributes = parseAnnotations(node.annotations, names);
    if (attributes === undefined) return undefined;
    const subnets = podSubnets(node, families);
    return subnets === undefined ? 'it has no podCIDR' : { ...subnets, attributes };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** What flannel would write into etcd for this node: its own annotations, changed ones only. A null removes one. */
export function annotationPatch(
  present: Annotations,
  wanted: Annotations,
  names: AnnotationNames,
): Readonly<Record<string, string | null>> | undefined {
  const patch: Record<string, string | null> = {};
  for (const [name, value] of Object.entries(wanted)) if (present[name] !== value) patch[name] = value;
  for (const name of writtenNames(names)) {
    if (present[name] !== undefined && wanted[name] === undefined) patch[name] = null;
  }
  return Object.keys(patch).length === 0 ? undefined : patch;
}

export type SubnetCheck =
  | { readonly kind: 'ok'; readonly subnets: LeaseSubnets }
  /** May come by itself. */
  | { readonly kind: 'missing'; readonly reason: string }
  /** A podCIDR never changes. */
  | { readonly kind: 'wrong'; readonly reason: string };

/** Whether this node's podCIDRs are what the network config asks for. */
export function checkPodSubnets(node: KubeNode, pools: SubnetPools): SubnetCheck {
  const families = FAMILIES.filter((family) => pools[family] !== undefined);
  const subnets = podSubnets(node, families);
  const missing = families.filter((family) => (family === 4 ? subnets?.subnet : subnets?.ipv6Subnet) === undefined);
  if (subnets === undefined || missing.length > 0) {
    const what = missing.length === families.length ? 'no podCIDR' : `no ${familyName(missing[0]!)} podCIDR`;
    const networks = families.map((family) => poolText(pools, family)).join();
    return {
      kind: 'missing',
      reason: `Kubernetes has given the node ${node.name} ${what}: run kube-controller-manager with --allocate-node-cidrs and --cluster-cidr ${networks}, or set spec.podCIDRs`,
    };
  }
  for (const family of families) {
    const subnet = (family === 4 ? subnets.subnet : subnets.ipv6Subnet)!;
    if (prefixCovers(pools[family]!.network, subnet)) continue;
    return {
      kind: 'wrong',
      reason: `The podCIDR ${node.podCidrs.join()} of the node ${node.name} is outside of the network ${poolText(pools, family)} of the network config: set ${family === 4 ? 'Network' : 'IPv6Network'} to the --cluster-cidr of kube-controller-manager`,
    };
  }
  return { kind: 'ok', subnets };
}

function poolText(pools: SubnetPools, family: Family): string {
  return formatPrefix(pools[family]!.network);
}
