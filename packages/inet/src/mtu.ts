/** What the kernel allows for a link: ETH_MIN_MTU and ETH_MAX_MTU, linux/if_ether.h. */
export const MIN_LINK_MTU = 68;
export const MAX_LINK_MTU = 65_535;
/** What every IPv4 host must accept (RFC 791, section 3.1). */
export const MIN_IPV4_MTU = 576;
/** What every IPv6 link must carry; the kernel removes IPv6 from a device with less (RFC 8200, section 5). */
export const MIN_IPV6_MTU = 1280;
/** Jumbo frames as common switches have them. */
export const MAX_JUMBO_MTU = 9216;
