/** Why a packet or datagram was dropped. The position is the number used in verdicts and shared memory: append only. */
export const REASONS = [
  'too_short', // less than a header
  'not_ipv4', // neither IPv4 nor IPv6, or IPv6 where it is disabled: the kernel's own discovery on the device
  'malformed', // header or total length that does not fit
  'bad_checksum', // RFC 1812 5.2.2
  'no_route', // the destination is in no peer's subnet
  'ttl_expired',
  'too_big', // above the MTU or the path's limit and not to be fragmented, or more than a datagram can hold
  'truncated', // a datagram larger than the buffer
  'unknown_peer', // a datagram from an address that is no peer
  'spoofed_source', // an inner source outside of the sender's subnets
  'send_failed',
  'write_failed',
  'encapsulation_loop', // the kernel routed a datagram of an engine back to the device
] as const;

export type Reason = (typeof REASONS)[number];

/** A verdict: 0 or more lets the packet pass (an outgoing one to the peer of this number), less than 0 drops it. */
export type Verdict = number;

export const PASS: Verdict = 0;

function drop(reason: Reason): Verdict {
  return -1 - REASONS.indexOf(reason);
}

export const TOO_SHORT = drop('too_short');
export const NOT_IPV4 = drop('not_ipv4');
export const MALFORMED = drop('malformed');
export const BAD_CHECKSUM = drop('bad_checksum');
export const NO_ROUTE = drop('no_route');
export const TTL_EXPIRED = drop('ttl_expired');
export const TOO_BIG = drop('too_big');
export const TRUNCATED = drop('truncated');
export const UNKNOWN_PEER = drop('unknown_peer');
export const SPOOFED_SOURCE = drop('spoofed_source');
export const SEND_FAILED = drop('send_failed');
export const WRITE_FAILED = drop('write_failed');
export const ENCAPSULATION_LOOP = drop('encapsulation_loop');

/** Position in REASONS of a dropping verdict. */
export function reasonIndex(verdict: Verdict): number {
  return -1 - verdict;
}

/** The reason of a dropping verdict, undefined for one that passes. */
export function reasonOf(verdict: Verdict): Reason | undefined {
  return REASONS[reasonIndex(verdict)];
}
