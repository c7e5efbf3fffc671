/**
 * Programs at the packets of a device. Since Linux 6.6 that is a link (tcx), which several programs share a device by; before, a filter of
 * the clsact discipline. Interface numbers are those of the calling thread's network namespace.
 */
import { isErrno } from '@flannel-ts/linux/errors';
import { closeFd, type Fd } from '@flannel-ts/linux/files';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import {
  type BpfFilterPlace,
  deleteBpfFilter,
  ensureClsact,
  getBpfFilter,
  replaceBpfFilter,
  type TcDirection,
} from '@flannel-ts/rtnetlink/tc';
import { Attribute, bpf, failed, tryBpf } from './call.ts';
import { BpfError } from './errors.ts';
import { linkInfo, programInfo } from './info.ts';
import { openPinned, pin, unpin } from './pin.ts';
import type { BpfProgram } from './program.ts';

/** linux/bpf.h, enum bpf_attach_type */
const BPF_XDP = 37;
const BPF_TCX = { ingress: 46, egress: 47 } as const;
/** linux/if_link.h */
const XDP_MODES = { any: 0, generic: 1 << 1, native: 1 << 2 } as const;

export interface Attachment {
  readonly kind: 'tcx' | 'clsact' | 'xdp';
  /** Another program in its place; every packet meets the one or the other. */
  replace(program: BpfProgram): void;
  /** Whether packets meet this program. Not, when the device is gone or somebody detached it. */
  holds(program: BpfProgram): boolean;
  /** Also from under its name. */
  detach(): void;
  /** Lets go of it: it stays as long as it has a name (links), or the device is there (filters). */
  close(): void;
}

export interface TcPlace {
  readonly interfaceIndex: number;
  readonly direction: TcDirection;
  /** Path in a BPF file system where a link is pinned, and found again. */
  readonly pinned?: string;
  /** Of the filter, where there are no links: 1 to 65535. */
  readonly priority: number;
  /** Of the filter: others of the same priority have another one (default 1). */
  readonly handle?: number;
}

/** Behind what others attached. With `pinned`, the link of that name is taken over, if it is one of this device. */
export function attachTc(nl: Netlink, place: TcPlace, program: BpfProgram, { links = true } = {}): Attachment {
  const link = links ? tcxLink(place, program) : undefined;
  return link ?? new Filter(nl, place, program);
}

/** Undefined where the kernel has no such links. */
function tcxLink({ interfaceIndex, direction, pinned }: TcPlace, program: BpfProgram): Attachment | undefined {
  const before = pinned === undefined ? undefined : reopen(pinned, interfaceIndex);
  if (before !== undefined) {
    before.replace(program);
    return before;
  }
  const attribute = new Attribute().u32(0, program.fd).u32(4, interfaceIndex).u32(8, BPF_TCX[direction]);
  const fd = tryBpf('LINK_CREATE', attribute);
  if (fd < 0) {
    const error = failed('LINK_CREATE', -fd, `attach program ${program.name} to interface ${interfaceIndex}`);
    // EINVAL: an attach type that is not known.
    if (isErrno(error.cause, 'EINVAL', 'ENOTSUPP', 'EOPNOTSUPP')) return undefined;
    throw error;
  }
  const link = new BpfLink(fd, 'tcx', pinned);
  try {
    if (pinned !== undefined) pin(link, pinned);
  } catch (error) {
    link.close();
    throw error;
  }
  return link;
}

/** What is pinned there, if it is still attached to this device; else its name becomes free. */
function reopen(path: string, interfaceIndex: number): BpfLink | undefined {
  const fd = openPinned(path);
  if (fd === undefined) return undefined;
  if (linkInfo(fd).interfaceIndex === interfaceIndex) return new BpfLink(fd, 'tcx', path);
  closeFd(fd);
  unpin(path);
  return undefined;
}

/** `ip link set dev DEV xdp ...`, as a link: it goes with its last descriptor or name. */
export function attachXdp(
  interfaceIndex: number,
  program: BpfProgram,
  mode: keyof typeof XDP_MODES = 'any',
): Attachment {
  const attribute = new Attribute().u32(0, program.fd).u32(4, interfaceIndex).u32(8, BPF_XDP).u32(12, XDP_MODES[mode]);
  return new BpfLink(bpf('LINK_CREATE', attribute, `attach program ${program.name} by XDP`), 'xdp');
}

class BpfLink implements Attachment {
  #open = true;

  constructor(
    readonly fd: Fd,
    readonly kind: 'tcx' | 'xdp',
    readonly pinned?: string,
  ) {}

  replace(program: BpfProgram): void {
    const attribute = new Attribute().u32(0, this.fd).u32(4, program.fd);
    bpf('LINK_UPDATE', attribute, `replace the program of a link by ${program.name}`);
  }

  holds(program: BpfProgram): boolean {
    const { interfaceIndex, programId } = linkInfo(this.fd);
    return interfaceIndex !== 0 && programId === programInfo(program.fd).id;
  }

  detach(): void {
    if (this.pinned !== undefined) unpin(this.pinned);
    const result = tryBpf('LINK_DETACH', new Attribute().u32(0, this.fd));
    this.close();
    if (result >= 0) return;
    const error = failed('LINK_DETACH', -result, 'detach a link');
    // Its device is gone.
    if (!isErrno(error.cause, 'ENOLINK', 'EINVAL')) throw error;
  }

  close(): void {
    if (this.#open) closeFd(this.fd);
    this.#open = false;
  }
}

class Filter implements Attachment {
  readonly kind = 'clsact';
  readonly #place: BpfFilterPlace;

  constructor(
    private readonly nl: Netlink,
    { interfaceIndex, direction, priority, handle = 1 }: TcPlace,
    program: BpfProgram,
  ) {
    if (priority < 1 || priority > 0xffff) throw new BpfError('INVALID', `A filter cannot have priority ${priority}`);
    this.#place = { linkIndex: interfaceIndex, direction, priority, handle };
    ensureClsact(nl, interfaceIndex);
    this.replace(program);
  }

  replace(program: BpfProgram): void {
    replaceBpfFilter(this.nl, this.#place, program.fd, program.name);
  }

  holds(program: BpfProgram): boolean {
    return getBpfFilter(this.nl, this.#place)?.programId === programInfo(program.fd).id;
  }

  detach(): void {
    deleteBpfFilter(this.nl, this.#place);
  }

  close(): void {}
}
