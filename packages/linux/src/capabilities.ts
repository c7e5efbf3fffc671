import { readFileSync } from 'node:fs';

/** linux/capability.h */
const CAPABILITIES = { CAP_NET_ADMIN: 12n, CAP_NET_RAW: 13n, CAP_SYS_ADMIN: 21n, CAP_BPF: 39n } as const;

export type CapabilityName = keyof typeof CAPABILITIES;

/** Whether this process may use the capability now: as root it has all that its container or unit leaves it. */
export function hasCapability(name: CapabilityName): boolean {
  return holdsCapability(readFileSync('/proc/self/status', 'utf8'), name);
}

/** `status`: the text of /proc/PID/status. */
export function holdsCapability(status: string, name: CapabilityName): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  return effective !== undefined && (BigInt(`0x${effective}`) & (1n << CAPABILITIES[name])) !== 0n;
}
