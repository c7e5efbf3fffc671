/** What a router tells the sender of a packet that it drops, in either family. */
export type RouterError =
  | { readonly about: 'no_route' }
  | { readonly about: 'hops_exceeded' }
  /** `mtu` of the next hop, in bytes. */
  | { readonly about: 'too_big'; readonly mtu: number };

export const NO_ROUTE_ERROR: RouterError = { about: 'no_route' };
export const HOPS_EXCEEDED: RouterError = { about: 'hops_exceeded' };

export function tooBig(mtu: number): RouterError {
  return { about: 'too_big', mtu };
}

/** RFC 1191 7.1: common MTUs, to guess from where the kernel only says that a packet was too big. */
const PLATEAUS = [65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68];

/** The next smaller common MTU below `length`. */
export function plateauBelow(length: number): number {
  return PLATEAUS.find((plateau) => plateau < length) ?? 68;
}
