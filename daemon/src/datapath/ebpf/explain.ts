/** Why programs cannot be used on a node, and what to do. */
import { readFileSync } from 'node:fs';
import { BpfError } from '@flannel-ts/bpf/errors';
import { BPFFS } from '@flannel-ts/bpf/pin';
import { type CapabilityName, holdsCapability } from '@flannel-ts/linux/capabilities';
import { messageOf } from '../../errors.ts';

/**
 * The first with all that is used: bpf_redirect_neigh() is of 5.10, packets of the device's full MTU may grow since 5.12, and the far end of a
 * veth pair merges without XDP since 5.13.
 */
export const FIRST_KERNEL = '5.13';

/** Of this process. */
export interface Permissions {
  /** The text of /proc/PID/status. */
  readonly status: string;
  /** The text of /proc/PID/uid_map. */
  readonly userMap: string;
  /** The text of /sys/kernel/security/lockdown; empty where there is none. */
  readonly lockdown: string;
}

export function explain(error: unknown, permissions = readPermissions): string {
  return `${messageOf(error)}${remedyOf(error, permissions)}`;
}

function remedyOf(error: unknown, permissions: () => Permissions): string {
  if (!(error instanceof BpfError)) return '';
  switch (error.code) {
    case 'NOT_PERMITTED':
      return `: ${whoForbids(permissions())}`;
    case 'NO_BPFFS':
      return `: mount -t bpf bpf ${BPFFS}; a container needs the host's, and a user other than root a folder of its own, ${BPFFS}/flannel`;
    case 'NOT_SUPPORTED':
      return `: Linux ${FIRST_KERNEL} or newer is needed, with CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_ACT`;
    case 'REJECTED':
      return `: Linux ${FIRST_KERNEL} or newer is needed; please report this if yours is`;
    case 'FULL':
      return ': the engine moves the packets of the peers that have no room';
    default:
      return '';
  }
}

/** From what is known best to what is left. CAP_SYS_ADMIN includes CAP_BPF, and was it before Linux 5.8. */
function whoForbids({ status, userMap, lockdown }: Permissions): string {
  const has = (name: CapabilityName): boolean => holdsCapability(status, name);
  const missing = [
    ...(has('CAP_BPF') || has('CAP_SYS_ADMIN') ? [] : ['CAP_BPF']),
    ...(has('CAP_NET_ADMIN') ? [] : ['CAP_NET_ADMIN']),
  ];
  if (missing.length > 0) {
    return `flanneld lacks ${missing.join(' and ')}: AmbientCapabilities and CapabilityBoundingSet of a unit, capabilities.add of a container`;
  }
  if (!/^\s*0\s+0\s+4294967295\s*$/.test(userMap)) {
    return 'flanneld runs in a user namespace, where no capability is enough: run it outside';
  }
  if (/^Seccomp:\s*2$/m.test(status)) {
    return 'a seccomp filter may forbid bpf(2): SystemCallFilter=bpf in a unit, another seccompProfile for a container';
  }
  const locked = /\[(integrity|confidentiality)\]/.exec(lockdown)?.[1];
  if (locked !== undefined)
    return `the kernel is locked down (${locked}): boot it without lockdown, or use -engine=fast`;
  return 'a security module (SELinux, AppArmor, BPF LSM) may forbid it: its log says so';
}

function readPermissions(): Permissions {
  return {
    status: textOf('/proc/self/status'),
    userMap: textOf('/proc/self/uid_map'),
    lockdown: textOf('/sys/kernel/security/lockdown'),
  };
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
