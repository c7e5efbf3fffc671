/*
 * Which segments go out in which message, and from which port. Segments of one length in a row for one peer, the last of which may be
 * shorter, are one message with UDP_SEGMENT, which the kernel segments again (udp(7)). Nothing of one source port is reordered.
 */
import { base, maxSegments, mtu, nameBytes, nameOf, sources, unsegmentedFrom } from './host';
import {
  CONTROL_BYTES,
  HEADER_STRIDE,
  HEADERS,
  IOVEC_BYTES,
  MAX_SEGMENTS,
  MESSAGE_FACTS,
  MESSAGE_FACTS_BYTES,
  MESSAGES,
  MMSGHDR_BYTES,
  NAME_STRIDE,
  PLAN_STATE,
  PLAN_STRIDE,
  PLANS,
  SEGMENT_BYTES,
  SEGMENTS,
  SEND_CONTROLS,
  SEND_IOVECS,
  SEND_NAMES,
  SPARE_MESSAGE,
} from './layout';

/** Of one UDP_SEGMENT send over IPv4 65507; a little less, as nebula. */
const MAX_MESSAGE: u32 = 65000;

/** Of all plans. */
let planned: u32 = 0;

/** The plan that is made or sent at the moment, of the source port with this number. */
let current: u32 = 0;
let plan: usize = PLANS;
let messages: u32 = 0;
let segments: u32 = 0;
let iovecs: u32 = 0;
/** Whether the last message takes more segments, of which length at most. */
let open: bool = false;
let openSize: u32 = 0;
let openPeer: u32 = 0;

export function clearPlans(): void {
  for (let index: u32 = 0; index < sources; index++) memory.fill(PLANS + index * PLAN_STRIDE + PLAN_STATE, 0, 24);
  planned = 0;
  restore(0);
}

/** Everything else here is about the plan of the source port `index` from now on. */
export function selectPlan(index: u32): void {
  if (index === current) return;
  const state = plan + PLAN_STATE;
  store<u32>(state, messages);
  store<u32>(state, segments, 4);
  store<u32>(state, iovecs, 8);
  store<u32>(state, open ? 1 : 0, 12);
  store<u32>(state, openSize, 16);
  store<u32>(state, openPeer, 20);
  restore(index);
}

function restore(index: u32): void {
  current = index;
  plan = PLANS + index * PLAN_STRIDE;
  const state = plan + PLAN_STATE;
  messages = load<u32>(state);
  segments = load<u32>(state, 4);
  iovecs = load<u32>(state, 8);
  open = load<u32>(state, 12) !== 0;
  openSize = load<u32>(state, 16);
  openPeer = load<u32>(state, 20);
}

export function messageCount(): u32 {
  return messages;
}

export function hasRoom(more: u32): bool {
  return planned + more <= (MAX_SEGMENTS as u32);
}

/** The place for the headers of the next segment. */
export function nextHeaders(): usize {
  return HEADERS + planned * HEADER_STRIDE;
}

export function addIovec(at: usize, length: u32): void {
  const iovec = plan + SEND_IOVECS + iovecs * IOVEC_BYTES;
  store<u64>(iovec, base + (at as u64));
  store<u64>(iovec, length as u64, 8);
  iovecs++;
}

/** The last `count` iovecs are a segment for `peer`, `length` bytes long. */
export function addSegment(peer: u32, length: u32, count: u32): void {
  const segment = plan + SEGMENTS + segments * SEGMENT_BYTES;
  store<u32>(segment, iovecs - count);
  store<u32>(segment, count, 4);
  store<u32>(segment, length, 8);
  const joins = open && peer === openPeer && length <= openSize && join(length, count);
  if (!joins) openMessage(peer, length, count);
  segments++;
  planned++;
}

function join(length: u32, count: u32): bool {
  const facts = plan + MESSAGE_FACTS + (messages - 1) * MESSAGE_FACTS_BYTES;
  const packets = load<u32>(facts, 4);
  const bytes = load<u32>(facts, 8);
  if (packets >= maxSegments || bytes + length > MAX_MESSAGE) return false;
  store<u32>(facts, packets + 1, 4);
  store<u32>(facts, bytes + length, 8);
  const message = plan + MESSAGES + (messages - 1) * MMSGHDR_BYTES;
  store<u64>(message, load<u64>(message, 24) + (count as u64), 24);
  store<u64>(message, 24, 40); // msg_controllen: CMSG_SPACE(2)
  if (length < openSize) open = false;
  return true;
}

function openMessage(peer: u32, length: u32, count: u32): void {
  writeMessage(messages, nameOf(peer), iovecs - count, count, length);
  const facts = plan + MESSAGE_FACTS + messages * MESSAGE_FACTS_BYTES;
  store<u32>(facts, segments);
  store<u32>(facts, 1, 4);
  store<u32>(facts, length, 8);
  store<u32>(facts, peer, 12);
  messages++;
  // The kernel fragments what is larger than the MTU or the path's MTU, but only datagrams sent one by one.
  open = length <= mtu && length < unsegmentedFrom(peer);
  openSize = length;
  openPeer = peer;
}

/** struct mmsghdr with a copy of the name at `target`, and a control message that counts only once msg_controllen is set. */
function writeMessage(index: u32, target: usize, iovec: u32, count: u32, size: u32): void {
  const message = plan + MESSAGES + index * MMSGHDR_BYTES;
  const name = plan + SEND_NAMES + index * NAME_STRIDE;
  const control = plan + SEND_CONTROLS + index * CONTROL_BYTES;
  store<u64>(message, base + (name as u64));
  store<u64>(message, nameBytes as u64, 8);
  store<u64>(message, base + ((plan + SEND_IOVECS + iovec * IOVEC_BYTES) as u64), 16);
  store<u64>(message, count as u64, 24);
  store<u64>(message, base + (control as u64), 32);
  store<u64>(message, 0, 40);
  store<u64>(message, 0, 48);
  v128.store(name, v128.load(target));
  v128.store(name, v128.load(target, 16), 16);
  store<u64>(control, 18); // CMSG_LEN(2)
  store<u32>(control, 17, 8); // SOL_UDP
  store<u32>(control, 103, 12); // UDP_SEGMENT
  store<u16>(control, size as u16, 16);
}

/** Makes the spare message that of one segment of `message` alone. Returns the segment's length. */
export function prepareSingle(index: u32, message: u32): u32 {
  const segment = plan + SEGMENTS + index * SEGMENT_BYTES;
  writeMessage(SPARE_MESSAGE, plan + SEND_NAMES + message * NAME_STRIDE, load<u32>(segment), load<u32>(segment, 4), 0);
  return load<u32>(segment, 8);
}

/** Copies the first bytes of a segment to `to`: what an ICMP error quotes. */
export function copySegment(index: u32, to: usize, most: u32): u32 {
  const segment = plan + SEGMENTS + index * SEGMENT_BYTES;
  let iovec: usize = plan + SEND_IOVECS + load<u32>(segment) * IOVEC_BYTES;
  let copied: u32 = 0;
  for (let left = load<u32>(segment, 4); left > 0 && copied < most; left--) {
    const length = min(load<u32>(iovec, 8), most - copied);
    memory.copy(to + copied, (load<u64>(iovec) - base) as usize, length);
    copied += length;
    iovec += IOVEC_BYTES;
  }
  return copied;
}
