/* The message headers of recvmmsg, and what it filled in. */
import { base, senderOf } from './host';
import {
  CONTROL_BYTES,
  IOVEC_BYTES,
  MMSGHDR_BYTES,
  NAME_STRIDE,
  RECEIVE_CONTROLS,
  RECEIVE_IOVECS,
  RECEIVE_MESSAGES,
  RECEIVE_NAMES,
  RECEIVE_SLOTS,
  RECEIVED,
  RECEIVED_BYTES,
  SLOT_BYTES,
  SLOT_STRIDE,
  SLOTS,
} from './layout';

const MSG_TRUNC: u32 = 0x20;

export function prepareSlots(): void {
  for (let slot: u32 = 0; slot < (SLOTS as u32); slot++) {
    const message: usize = RECEIVE_MESSAGES + slot * MMSGHDR_BYTES;
    const iovec: usize = RECEIVE_IOVECS + slot * IOVEC_BYTES;
    store<u64>(message, base + ((RECEIVE_NAMES + slot * NAME_STRIDE) as u64));
    store<u64>(message, base + (iovec as u64), 16);
    store<u64>(message, 1, 24);
    store<u64>(message, base + ((RECEIVE_CONTROLS + slot * CONTROL_BYTES) as u64), 32);
    store<u64>(iovec, base + ((RECEIVE_SLOTS + slot * SLOT_STRIDE) as u64));
    store<u64>(iovec, SLOT_BYTES, 8);
    arm(message);
  }
}

/** The kernel shortens these to what it wrote. */
function arm(message: usize): void {
  store<u32>(message, NAME_STRIDE, 8);
  store<u64>(message, CONTROL_BYTES, 40);
  store<u32>(message, 0, 48);
}

/** Reads the results of the first `count` slots, and makes the slots ready for the next call. */
export function readSlots(count: u32): void {
  for (let slot: u32 = 0; slot < count; slot++) {
    const message: usize = RECEIVE_MESSAGES + slot * MMSGHDR_BYTES;
    const name: usize = RECEIVE_NAMES + slot * NAME_STRIDE;
    const received: usize = RECEIVED + slot * RECEIVED_BYTES;
    store<u32>(received, load<u32>(message, 56));
    store<u32>(received, groSize(slot, load<u32>(message, 40)), 4);
    store<u32>(received, senderOf(name), 8);
    store<u32>(received, load<u32>(message, 48) & MSG_TRUNC, 12);
    arm(message);
  }
}

/** The int of a UDP_GRO control message, which the kernel adds to datagrams it has put together. */
function groSize(slot: u32, length: u32): u32 {
  const control: usize = RECEIVE_CONTROLS + slot * CONTROL_BYTES;
  if (length < 20 || load<u32>(control, 8) !== 17 || load<u32>(control, 12) !== 104) return 0;
  return load<u32>(control, 16);
}
