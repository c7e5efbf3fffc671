/**
 * Where programs see packets by `tc`: the clsact discipline and its BPF filters.
 * `struct tcmsg { u8 family; u8 pad[3]; s32 ifindex; u32 handle; u32 parent; u32 info; }` and TCA_* (linux/rtnetlink.h, pkt_cls.h).
 */
import type { Fd } from '@flannel-ts/linux/files';
import {
  attributeNested,
  attributeString,
  attributeU32,
  parseAttributes,
  readNested,
  readString,
  readU32,
  viewOf,
} from './attributes.ts';
import type { Netlink } from './connection.ts';
import { isNetlinkError } from './errors.ts';
import { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from './message.ts';

export const RTM_NEWQDISC = 36;
export const RTM_NEWTFILTER = 44;
const RTM_DELTFILTER = 45;
const RTM_GETTFILTER = 46;

export const TCMSG_LENGTH = 20;
export const TCA_KIND = 1;
export const TCA_OPTIONS = 2;
const TCA_BPF_FD = 6;
const TCA_BPF_NAME = 7;
const TCA_BPF_FLAGS = 8;
const TCA_BPF_ID = 11;
/** The program's result is the verdict; without it programs choose classes. */
const TCA_BPF_FLAG_ACT_DIRECT = 1;

const TC_H_CLSACT = 0xffff_fff1;
const CLSACT_HANDLE = 0xffff_0000;
const PARENTS = { ingress: 0xffff_fff2, egress: 0xffff_fff3 } as const;
/** ETH_P_ALL in the byte order of networks. */
const ALL_PROTOCOLS = 0x0300;

export type TcDirection = keyof typeof PARENTS;

/** One filter: at the same place there is one at a time. */
export interface BpfFilterPlace {
  readonly linkIndex: number;
  readonly direction: TcDirection;
  /** 1 to 65535: those with less come first. */
  readonly priority: number;
  readonly handle: number;
}

export interface BpfFilter {
  readonly name: string | undefined;
  readonly programId: number | undefined;
}

/** `tc qdisc add dev DEV clsact`, unless there is one. Filters of others may hang on it: it is not removed. */
export function ensureClsact(nl: Netlink, linkIndex: number): void {
  try {
    nl.request({
      type: RTM_NEWQDISC,
      flags: NLM_F_CREATE | NLM_F_EXCL,
      parts: [tcmsg(linkIndex, CLSACT_HANDLE, TC_H_CLSACT, 0), attributeString(TCA_KIND, 'clsact')],
      operation: 'add a clsact discipline',
    });
  } catch (error) {
    if (!isNetlinkError(error, 'EEXIST')) throw error;
  }
}

/** `tc filter replace dev DEV DIRECTION prio N handle H bpf da object-pinned ...`: in one step, where there is one already. */
export function replaceBpfFilter(nl: Netlink, place: BpfFilterPlace, program: Fd, name: string): void {
  nl.request({
    type: RTM_NEWTFILTER,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    parts: [
      filterMessage(place),
      attributeString(TCA_KIND, 'bpf'),
      attributeNested(TCA_OPTIONS, [
        attributeU32(TCA_BPF_FD, program),
        attributeString(TCA_BPF_NAME, name),
        attributeU32(TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT),
      ]),
    ],
    operation: `set BPF filter ${name}`,
  });
}

/** `tc filter del dev DEV DIRECTION prio N handle H bpf`; false when there was none, or no device. */
export function deleteBpfFilter(nl: Netlink, place: BpfFilterPlace): boolean {
  try {
    nl.request({
      type: RTM_DELTFILTER,
      parts: [filterMessage(place), attributeString(TCA_KIND, 'bpf')],
      operation: 'delete a BPF filter',
    });
    return true;
  } catch (error) {
    if (isNetlinkError(error, 'ENOENT', 'EINVAL', 'ENODEV')) return false;
    throw error;
  }
}

/** The filter at a place; undefined when there is none, or no device. */
export function getBpfFilter(nl: Netlink, place: BpfFilterPlace): BpfFilter | undefined {
  try {
    const [reply] = nl.request({
      type: RTM_GETTFILTER,
      parts: [filterMessage(place), attributeString(TCA_KIND, 'bpf')],
      operation: 'get a BPF filter',
    });
    if (reply === undefined) return undefined;
    const options = readNested(parseAttributes(reply.payload.subarray(TCMSG_LENGTH)), TCA_OPTIONS);
    return { name: readString(options, TCA_BPF_NAME), programId: readU32(options, TCA_BPF_ID) };
  } catch (error) {
    if (isNetlinkError(error, 'ENOENT', 'EINVAL', 'ENODEV')) return undefined;
    throw error;
  }
}

export function filterMessage({ linkIndex, direction, priority, handle }: BpfFilterPlace): Uint8Array {
  return tcmsg(linkIndex, handle, PARENTS[direction], ((priority << 16) | ALL_PROTOCOLS) >>> 0);
}

export function tcmsg(linkIndex: number, handle: number, parent: number, info: number): Uint8Array {
  const bytes = new Uint8Array(TCMSG_LENGTH);
  const view = viewOf(bytes);
  view.setInt32(4, linkIndex, true);
  view.setUint32(8, handle, true);
  view.setUint32(12, parent, true);
  view.setUint32(16, info, true);
  return bytes;
}
