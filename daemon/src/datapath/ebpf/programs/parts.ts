/**
 * What both programs are made of. They keep the context in r6; labels that begin with `hand:` leave the packet as it came to the
 * engine in user space, and count why.
 */
import {
  add,
  after,
  and32,
  at,
  call,
  jump,
  jumpIf,
  label,
  load,
  mapPointer,
  mov,
  mov32,
  networkOrder,
  pointerTo,
  returns,
  rsh,
  store,
  xor32,
} from '@flannel-ts/bpf/assembler';
import { type Code, flatten, type Memory, type Register } from '@flannel-ts/bpf/instruction';
import { type CounterName, counterOffset, HANDED_OVER, type HandedOver, type MapName } from '../layout.ts';
import { GO_ON, skb } from './skb.ts';

/** To jump to. */
export function hand(reason: HandedOver): string {
  return `hand:${reason}`;
}

/**
 * `body`, and the ends that hand a packet over: those that it uses, since the verifier accepts no others. `key` is a slot of 4 bytes. Each counts at
 * an offset of its own: one that differs by path is for those with CAP_PERFMON (sanitize_ptr_alu in kernel/bpf/verifier.c).
 */
export function withHandOvers(direction: 'out' | 'in', key: Memory, body: Code): Code {
  const used = new Set(flatten(body).flatMap((item) => ('label' in item && item.kind !== 'label' ? [item.label] : [])));
  return [
    body,
    ...HANDED_OVER.filter((reason) => used.has(hand(reason))).map((reason) => [
      label(hand(reason)),
      lookUpTotals(key, 'goOn'),
      count(`${direction} ${reason}`, 1),
      jump('goOn'),
    ]),
    label('goOn'),
    returns(GO_ON),
  ];
}

/** r0: the counters of this processor. */
export function lookUpTotals(key: Memory, otherwise: string): Code {
  return [store('u32', key, 0), lookUp('totals', key, otherwise)];
}

/** r0: the value. The key is on the stack. */
export function lookUp(map: MapName, key: Memory, otherwise: string): Code {
  return [mapPointer('r1', map), pointerTo('r2', key), call('map_lookup_elem'), jumpIf('r0', 'eq', 0, otherwise)];
}

/** Of this processor's own: nothing to lock. Changes r1. */
export function increment(counter: Memory, by: Register | number): Code {
  return [load('u64', 'r1', counter), add('r1', by), store('u64', counter, 'r1')];
}

export function count(name: CounterName, by: Register | number): Code {
  return increment(at('r0', counterOffset(name)), by);
}

/**
 * r2: the packet, of which at least `bytes` bytes can be read afterwards; if the first of them are elsewhere, they are fetched.
 * Whoever calls it twice names it. Changes r0 to r5.
 */
export function reach(bytes: number, otherwise: string, name: string): Code {
  const check = (short: string): Code => [
    load('u32', 'r2', skb('r6', 'data')),
    load('u32', 'r3', skb('r6', 'dataEnd')),
    mov('r4', 'r2'),
    add('r4', bytes),
    jumpIf('r4', 'gt', 'r3', short),
  ];
  return [
    check(`${name}:fetch`),
    jump(`${name}:reached`),
    label(`${name}:fetch`),
    mov('r1', 'r6'),
    mov('r2', bytes),
    call('skb_pull_data'),
    jumpIf('r0', 'ne', 0, otherwise),
    check(otherwise),
    label(`${name}:reached`),
  ];
}

/** Jumps unless the 20 bytes from r2 + offset have a right checksum. Changes r3 to r5. */
export function verifyHeaderChecksum(offset: number, otherwise: string): Code {
  const words = [0, 4, 8, 12, 16].flatMap((word) => [load('u32', 'r4', at('r2', offset + word)), add('r3', 'r4')]);
  return [
    mov('r3', 0),
    words,
    fold('r3', 'r4', 32),
    fold('r3', 'r4', 16),
    fold('r3', 'r4', 16),
    fold('r3', 'r4', 16),
    jumpIf('r3', 'ne', 0xffff, otherwise),
  ];
}

/** Adds what is above the lower `bits` bits to them. */
export function fold(sum: Register, other: Register, bits: 16 | 32): Code {
  const low: Code = bits === 32 ? mov32(sum, sum) : and32(sum, 0xffff);
  return [mov(other, sum), rsh(other, bits), low, add(sum, other)];
}

/** The complement of a sum, in the order of networks. */
export function finishChecksum(sum: Register, other: Register): Code {
  return [fold(sum, other, 16), fold(sum, other, 16), xor32(sum, 0xffff), networkOrder(sum, 16)];
}

/** The time to live and the checksum of the header at r2 + offset, as in ip_decrease_ttl(). Changes r3. */
export function decrementTimeToLive(offset: number, name: string): Code {
  const ttl = at('r2', offset + 8);
  const checksum = at('r2', offset + 10);
  return [
    load('u8', 'r3', ttl),
    add('r3', -1),
    store('u8', ttl, 'r3'),
    load('u16', 'r3', checksum),
    networkOrder('r3', 16),
    add('r3', 0x100),
    jumpIf('r3', 'lt', 0xffff, `${name}:aged`),
    add('r3', 1),
    label(`${name}:aged`),
    networkOrder('r3', 16),
    store('u16', checksum, 'r3'),
  ];
}

/** Copies words of 4 bytes from the packet to the stack. Changes r3. */
export function copyWords(from: Memory, to: Memory, words: number): Code {
  return Array.from({ length: words }, (_, word) => [
    load('u32', 'r3', after(from, word * 4)),
    store('u32', after(to, word * 4), 'r3'),
  ]);
}
