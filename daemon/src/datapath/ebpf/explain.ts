/** Why programs cannot be used on a node, and what to do. */
import { BpfError } from '@flannel-ts/bpf/errors';
import { BPFFS } from '@flannel-ts/bpf/pin';
import { messageOf } from '../../errors.ts';

/**
 * The first with all that is used: bpf_redirect_neigh() is of 5.10, packets of the device's full MTU may grow since 5.12, and the far end of a
 * veth pair merges without XDP since 5.13.
 */
export const FIRST_KERNEL = '5.13';

export function explain(error: unknown): string {
  return `${messageOf(error)}${remedyOf(error)}`;
}

function remedyOf(error: unknown): string {
  if (!(error instanceof BpfError)) return '';
  switch (error.code) {
    case 'NOT_PERMITTED':
      return ': flanneld needs CAP_BPF and CAP_NET_ADMIN, and a kernel that is not locked down (/sys/kernel/security/lockdown)';
    case 'NO_BPFFS':
      return `: mount -t bpf bpf ${BPFFS}; a container needs the host's, and a unit write access to it`;
    case 'NOT_SUPPORTED':
      return `: Linux ${FIRST_KERNEL} or newer is needed, with CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_ACT`;
    case 'REJECTED':
      return `: Linux ${FIRST_KERNEL} or newer is needed; please report this if yours is`;
    default:
      return '';
  }
}
