/** Queueing disciplines that limit a rate: `tc qdisc`, and the redirection of what comes in: `tc filter`. */
import {
  attribute,
  attributeNested,
  attributeString,
  attributeU32,
  concatBytes,
  parseAttributes,
  readNested,
  readString,
  viewOf,
} from './attributes.ts';
import type { Netlink } from './connection.ts';
import { isNetlinkError, NetlinkError } from './errors.ts';
import { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from './message.ts';
import {
  ensureClsact,
  filterMessage,
  RTM_NEWQDISC,
  RTM_NEWTFILTER,
  TCA_KIND,
  TCA_OPTIONS,
  TCMSG_LENGTH,
  tcmsg,
} from './tc.ts';

const RTM_GETQDISC = 38;
// linux/pkt_sched.h, linux/pkt_cls.h, linux/tc_act/tc_mirred.h
const TC_H_ROOT = 0xffff_ffff;
const TCA_TBF_PARMS = 1;
const TCA_TBF_RATE64 = 4;
const TCA_TBF_BURST = 6;
const TC_TBF_QOPT_LENGTH = 36;
const TC_LINKLAYER_ETHERNET = 1;
const TCA_U32_SEL = 5;
const TCA_U32_ACT = 7;
const TC_U32_TERMINAL = 1;
const TCA_ACT_KIND = 1;
const TCA_ACT_OPTIONS = 2;
const TCA_MIRRED_PARMS = 2;
const TCA_EGRESS_REDIR = 1;
const TC_ACT_STOLEN = 4;
/** PSCHED_TICKS2NS: 64 ns, include/net/pkt_sched.h */
const NS_PER_TICK = 64;
/** The root's handle, 1:0. */
const HANDLE = 0x1_0000;

export interface RateLimit {
  /** Bytes in a second. */
  readonly rate: number;
  /** Bytes that may go at once. */
  readonly burst: number;
  /** Bytes that may wait; what is more is dropped. */
  readonly limit: number;
}

/** `tc qdisc replace dev DEV root handle 1: tbf rate R burst B limit L` */
export function setRateLimit(nl: Netlink, linkIndex: number, { rate, burst, limit }: RateLimit): void {
  const parameters = new Uint8Array(TC_TBF_QOPT_LENGTH);
  const view = viewOf(parameters);
  // struct tc_ratespec rate, struct tc_ratespec peakrate, u32 limit, u32 buffer, u32 mtu
  view.setUint8(1, TC_LINKLAYER_ETHERNET);
  view.setUint32(8, Math.min(rate, 0xffff_ffff), true);
  view.setUint32(24, limit, true);
  const rate64 = new Uint8Array(8);
  viewOf(rate64).setBigUint64(0, BigInt(rate), true);
  const large = rate > 0xffff_ffff ? [attribute(TCA_TBF_RATE64, rate64)] : [];
  explained('limit a rate', () =>
    nl.request({
      type: RTM_NEWQDISC,
      flags: NLM_F_CREATE | NLM_F_REPLACE,
      parts: [
        tcmsg(linkIndex, HANDLE, TC_H_ROOT, 0),
        attributeString(TCA_KIND, 'tbf'),
        attributeNested(TCA_OPTIONS, [
          attribute(TCA_TBF_PARMS, parameters),
          attributeU32(TCA_TBF_BURST, burst),
          ...large,
        ]),
      ],
      operation: `limit the rate of link ${linkIndex}`,
    }),
  );
}

/** What setRateLimit() has set; the burst as the kernel keeps it, in time, and so not to the byte. Undefined where there is none. */
export function getRateLimit(nl: Netlink, linkIndex: number): RateLimit | undefined {
  const messages = nl.dump({ type: RTM_GETQDISC, parts: [tcmsg(linkIndex, 0, 0, 0)], operation: 'list disciplines' });
  for (const { payload } of messages) {
    const header = viewOf(payload);
    // Not every kernel filters by the link.
    if (header.getInt32(4, true) !== linkIndex || header.getUint32(12, true) !== TC_H_ROOT) continue;
    const attributes = parseAttributes(payload.subarray(TCMSG_LENGTH));
    const options = readNested(attributes, TCA_OPTIONS);
    const parameters = options.get(TCA_TBF_PARMS);
    if (readString(attributes, TCA_KIND) !== 'tbf' || parameters === undefined) return undefined;
    const view = viewOf(parameters);
    const rate64 = options.get(TCA_TBF_RATE64);
    const rate = rate64 === undefined ? view.getUint32(8, true) : Number(viewOf(rate64).getBigUint64(0, true));
    const burst = Math.round((view.getUint32(28, true) * NS_PER_TICK * rate) / 1e9);
    return { rate, burst, limit: view.getUint32(24, true) };
  }
  return undefined;
}

/**
 * `tc qdisc add dev DEV clsact; tc filter replace dev DEV ingress prio 1 u32 match u32 0 0 action mirred egress redirect dev TO`:
 * whatever comes in by a link leaves by another one.
 */
export function redirectIngress(nl: Netlink, linkIndex: number, to: number): void {
  explained('redirect packets', () => {
    ensureClsact(nl, linkIndex);
    nl.request({
      type: RTM_NEWTFILTER,
      flags: NLM_F_CREATE | NLM_F_EXCL,
      parts: [
        filterMessage({ linkIndex, direction: 'ingress', priority: 1, handle: 0 }),
        attributeString(TCA_KIND, 'u32'),
        attributeNested(TCA_OPTIONS, [
          attribute(TCA_U32_SEL, matchAll()),
          attributeNested(TCA_U32_ACT, [
            attributeNested(1, [
              attributeString(TCA_ACT_KIND, 'mirred'),
              attributeNested(TCA_ACT_OPTIONS, [attribute(TCA_MIRRED_PARMS, redirection(to))]),
            ]),
          ]),
        ]),
      ],
      operation: `redirect what comes in by link ${linkIndex}`,
    });
  });
}

/** struct tc_u32_sel with one tc_u32_key, of which no bit counts. */
function matchAll(): Uint8Array {
  const selector = new Uint8Array(16);
  selector[0] = TC_U32_TERMINAL;
  selector[2] = 1; // keys
  return concatBytes([selector, new Uint8Array(16)]);
}

/** struct tc_mirred: u32 index, u32 capab, int action, int refcnt, int bindcnt, int eaction, u32 ifindex */
function redirection(to: number): Uint8Array {
  const parameters = new Uint8Array(28);
  const view = viewOf(parameters);
  view.setInt32(8, TC_ACT_STOLEN, true);
  view.setInt32(20, TCA_EGRESS_REDIR, true);
  view.setUint32(24, to, true);
  return parameters;
}

/** ENOENT is what the kernel says of a discipline, classifier or action that it has not. */
function explained(what: string, act: () => unknown): void {
  try {
    act();
  } catch (error) {
    if (!isNetlinkError(error, 'ENOENT', 'EOPNOTSUPP')) throw error;
    const detail = 'this kernel lacks what it takes: it needs sch_tbf, sch_ingress, cls_u32 and act_mirred';
    throw new NetlinkError(error.code, what, detail);
  }
}
