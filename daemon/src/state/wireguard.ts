/** Keys and peers of a WireGuard device: what has to be set so that it is as desired. Pure. */
import { formatPrefix, type Prefix } from '@flannel-ts/inet/prefix';
import type { Device, DeviceChange, Endpoint, Peer, PeerChange } from '@flannel-ts/wireguard/device';
import { NO_KEY } from '@flannel-ts/wireguard/key';
import type { WireguardAttributes, WireguardPeer } from './desired.ts';

/** By the peer's public key: what this process has set before. */
export type KnownEndpoints = ReadonlyMap<string, Endpoint>;

/** What this process has set, of every device, as far as it is still so by what each lease says. */
export class EndpointMemory {
  private readonly links = new Map<string, Map<string, Endpoint>>();

  /** The device was given all that is wanted. */
  set(link: string, { peers }: WireguardAttributes): void {
    this.links.set(link, new Map(peers.map(({ publicKey, endpoint }) => [publicKey, endpoint])));
  }

  /** What an earlier process has set counts as well, where it is what is wanted. */
  see(link: string, wanted: WireguardAttributes, { peers }: Device): KnownEndpoints {
    const known = this.links.get(link) ?? new Map<string, Endpoint>();
    this.links.set(link, known);
    const there = new Map(peers.map(({ publicKey, endpoint }) => [publicKey, endpoint]));
    for (const { publicKey, endpoint } of wanted.peers) {
      if (isSameEndpoint(there.get(publicKey), endpoint)) known.set(publicKey, endpoint);
    }
    return known;
  }
}

/** After this a session is over, and neither end sends by it (REJECT_AFTER_TIME of WireGuard's paper, 6.1). */
const SESSION_SECONDS = 180;

/**
 * Undefined when nothing has to be done. Sessions of peers go on, whatever is set. A kernel follows a peer to where its packets come
 * from, behind a NAT to another port than the lease says: that is left as it is while the session lasts, unless the lease has
 * changed, or nobody knows what it was before.
 *
 * @param now seconds since 1970
 * @param complete false: peers that are not wanted yet may be right, as at the start of a daemon whose device has outlived it
 */
export function diffWireguard(
  wanted: WireguardAttributes,
  there: Device,
  known: KnownEndpoints,
  now: number,
  complete = true,
): DeviceChange | undefined {
  const peersThere = new Map(there.peers.map((peer) => [peer.publicKey, peer]));
  const wantedKeys = new Set(wanted.peers.map(({ publicKey }) => publicKey));
  const isInSession = ({ lastHandshake = 0 }: Peer): boolean => now - lastHandshake < SESSION_SECONDS;
  const peers: PeerChange[] = [
    ...there.peers
      .filter(({ publicKey }) => complete && !wantedKeys.has(publicKey))
      .map(({ publicKey }) => ({ publicKey, remove: true })),
    ...wanted.peers.flatMap((peer) => {
      const actual = peersThere.get(peer.publicKey);
      if (actual === undefined) return [newPeer(peer)];
      const last = known.get(peer.publicKey);
      const hasRoamed = last !== undefined && isSameEndpoint(last, peer.endpoint) && isInSession(actual);
      return changedPeer(peer, actual, hasRoamed);
    }),
  ];
  const change: DeviceChange = {
    ...(there.privateKey !== wanted.privateKey && { privateKey: wanted.privateKey }),
    ...(there.listenPort !== wanted.port && { listenPort: wanted.port }),
    ...(peers.length > 0 && { peers }),
  };
  return Object.keys(change).length === 0 ? undefined : change;
}

/** For logs, without secrets. */
export function describeWireguardChange(link: string, { privateKey, listenPort, peers = [] }: DeviceChange): string {
  const words = [`wg set ${link}`];
  if (privateKey !== undefined) words.push('private-key (not shown)');
  if (listenPort !== undefined) words.push(`listen-port ${listenPort}`);
  for (const { publicKey, remove, allowedIps } of peers) {
    const what = remove
      ? ' remove'
      : allowedIps === undefined
        ? ''
        : ` allowed-ips ${allowedIps.map(formatPrefix).join()}`;
    words.push(`peer ${publicKey}${what}`);
  }
  return words.join(' ');
}

function newPeer({ publicKey, presharedKey, endpoint, keepalive, allowedIps }: WireguardPeer): PeerChange {
  return { publicKey, ...(presharedKey !== undefined && { presharedKey }), endpoint, keepalive, allowedIps };
}

function changedPeer(wanted: WireguardPeer, there: Peer, hasRoamed: boolean): PeerChange[] {
  const { publicKey, presharedKey, endpoint, keepalive, allowedIps } = wanted;
  const [mine, theirs] = [keysOf(allowedIps), keysOf(there.allowedIps)];
  const hasSurplus = there.allowedIps.some((prefix) => !mine.has(formatPrefix(prefix)));
  const missing = allowedIps.filter((prefix) => !theirs.has(formatPrefix(prefix)));
  const change = {
    ...(presharedKey !== there.presharedKey && { presharedKey: presharedKey ?? NO_KEY }),
    ...(!hasRoamed && !isSameEndpoint(there.endpoint, endpoint) && { endpoint }),
    ...(keepalive !== there.keepalive && { keepalive }),
    // Replacing takes all away for a moment: only where there is one too many.
    ...(hasSurplus ? { replaceAllowedIps: true, allowedIps } : missing.length > 0 && { allowedIps: missing }),
  };
  return Object.keys(change).length === 0 ? [] : [{ publicKey, ...change }];
}

function keysOf(prefixes: readonly Prefix[]): ReadonlySet<string> {
  return new Set(prefixes.map(formatPrefix));
}

function isSameEndpoint(a: Endpoint | undefined, b: Endpoint): boolean {
  return a?.address === b.address && a.port === b.port;
}
