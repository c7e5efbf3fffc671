/** The IP version of an address. */
export type Family = 4 | 6;

export const FAMILIES = [4, 6] as const satisfies readonly Family[];

/** How many bits an address has. */
export function addressBits(family: Family): 32 | 128 {
  return family === 4 ? 32 : 128;
}

export function addressBytes(family: Family): 4 | 16 {
  return family === 4 ? 4 : 16;
}

/** For messages. */
export function familyName(family: Family): 'IPv4' | 'IPv6' {
  return family === 4 ? 'IPv4' : 'IPv6';
}
