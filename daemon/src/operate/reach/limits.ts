/** What the answers of the peers say about the width of the paths to them. */
import type { Ip } from '@flannel-ts/inet/ip';
import type { PeerReach } from './table.ts';

/** As DataPath.setPathLimit(). */
export type SetPathLimit = (peer: Ip, limit: number | undefined) => void;

/** Reports each limit, and its end, to the data path once. */
export class PathLimits {
  private told: ReadonlyMap<Ip, number> = new Map();

  constructor(private readonly set: SetPathLimit) {}

  update(peers: Iterable<Pick<PeerReach, 'peer' | 'pathLimit'>>): void {
    const limits = limitsOf(peers);
    for (const [peer, limit] of limits) if (this.told.get(peer) !== limit) this.set(peer, limit);
    for (const peer of this.told.keys()) if (!limits.has(peer)) this.set(peer, undefined);
    this.told = limits;
  }
}

/** The subnets of a peer, one of each family, share the path to it. */
function limitsOf(peers: Iterable<Pick<PeerReach, 'peer' | 'pathLimit'>>): Map<Ip, number> {
  const limits = new Map<Ip, number>();
  for (const { peer, pathLimit } of peers) {
    if (pathLimit !== undefined) limits.set(peer, Math.min(pathLimit, limits.get(peer) ?? pathLimit));
  }
  return limits;
}
