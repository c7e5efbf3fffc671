/** What became of each lease, kept as long as what it depends on is the same. */
import type { Lease } from '@flannel-ts/flannel/lease';
import type { Ip } from '@flannel-ts/inet/ip';
import type { OverlayPeer } from '../datapath/datapath.ts';
import type { OwnNode, RefusedLease } from './backend.ts';

export interface SelectedPeer<Data> {
  readonly peer: OverlayPeer;
  readonly lease: Lease;
  readonly data: Data;
}

export interface Selection<Data> {
  readonly peers: readonly SelectedPeer<Data>[];
  readonly refused: readonly RefusedLease[];
}

interface Kept<Data> {
  readonly judgement: Selection<Data>;
  /** What the host says of the node's addresses. */
  readonly ways: Ways;
}

type Ways = readonly (string | undefined)[];

const NO_WAYS: Ways = [];

/** For the leases of one backend of one node. Forgets a lease together with the source of leases. */
export class Judgements<Data> {
  private kept = new WeakMap<Lease, Kept<Data>>();
  private basis: readonly unknown[] = [];

  /** With nothing in it that was judged for a node with other addresses. */
  under({ external, addresses, required, subnet, ipv6Subnet }: OwnNode): this {
    const basis = [external, addresses, required, subnet, ipv6Subnet];
    if (basis.some((value, at) => value !== this.basis[at])) this.kept = new WeakMap();
    this.basis = basis;
    return this;
  }

  of(lease: Lease, node: OwnNode, judge: () => Selection<Data>): Selection<Data> {
    const ways = waysTo(lease, node);
    const found = this.kept.get(lease);
    if (found !== undefined && isSame(found.ways, ways)) return found.judgement;
    const judgement = judge();
    this.kept.set(lease, { judgement, ways });
    return judgement;
  }
}

function waysTo({ attributes: { publicIp, publicIpv6 } }: Lease, { tunnelled, direct }: OwnNode): Ways {
  if (tunnelled.size + direct.size === 0) return NO_WAYS;
  const ways = (ip: Ip | undefined) =>
    ip === undefined ? [undefined, undefined] : [tunnelled.get(ip), direct.get(ip)];
  return [...ways(publicIp), ...ways(publicIpv6)];
}

function isSame(a: Ways, b: Ways): boolean {
  return a === b || (a.length === b.length && a.every((way, at) => way === b[at]));
}
