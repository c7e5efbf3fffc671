/** The ICMP errors of an engine, in either family: icmpv4.ts and icmpv6.ts have the messages. */

import { writeIcmpv4Error } from './icmpv4.ts';
import { writeIcmpv6Error } from './icmpv6.ts';
import { isIpv6 } from './ipv6-header.ts';
import type { OwnAddresses } from './own-addresses.ts';
import type { RouterError } from './router-error.ts';

/** Bytes of the longest error of either family. */
export const MAX_ERROR = 1280;

// Linux's own limit for the whole machine (net.ipv4.icmp_msgs_per_sec and _burst).
const PER_SECOND = 1000;
const BURST = 50;

/** The errors of one engine, in a limited number (RFC 1812 4.3.2.8, RFC 4443 2.4 (f)). */
export class IcmpWriter {
  readonly #limit: RateLimit;
  #identification = 0;

  constructor(
    /** The sources of the errors: a family without an address is told nothing. */
    readonly own: OwnAddresses,
    /** In milliseconds. */
    readonly now: () => number,
    /** Called for each error that the limit suppresses. */
    readonly onSuppressed: () => void,
  ) {
    this.#limit = new RateLimit(PER_SECOND, BURST, now());
  }

  /**
   * Writes the error about `offender`, whose header was checked, into `out` (MAX_ERROR bytes). Returns its length, or 0 if there must
   * not be one.
   */
  write(out: Uint8Array, offender: Uint8Array, error: RouterError): number {
    this.#identification = (this.#identification + 1) & 0xffff;
    const length = this.#put(out, offender, error);
    if (length === 0 || this.#limit.allow(this.now())) return length;
    this.onSuppressed();
    return 0;
  }

  #put(out: Uint8Array, offender: Uint8Array, error: RouterError): number {
    const { tunAddress, tunAddress6 } = this.own;
    if (isIpv6(offender, offender.length)) {
      return tunAddress6 === undefined ? 0 : writeIcmpv6Error(out, offender, error, tunAddress6);
    }
    return tunAddress === undefined ? 0 : writeIcmpv4Error(out, offender, error, tunAddress, this.#identification);
  }
}

/** A token bucket; times in milliseconds. */
export class RateLimit {
  #tokens: number;
  #filledAt: number;

  constructor(
    readonly perSecond: number,
    readonly burst: number,
    now: number,
  ) {
    this.#tokens = burst;
    this.#filledAt = now;
  }

  allow(now: number): boolean {
    const earned = ((now - this.#filledAt) * this.perSecond) / 1000;
    this.#tokens = Math.min(this.burst, this.#tokens + Math.max(0, earned));
    this.#filledAt = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
