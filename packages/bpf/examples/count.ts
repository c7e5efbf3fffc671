/** Counts the packets that arrive on an interface, by their protocol of IP: `bun examples/count.ts eth0`. */
import { openNetlink } from '@flannel-ts/rtnetlink/connection';
import { getLink } from '@flannel-ts/rtnetlink/link';
import { add, at, call, jumpIf, label, load, mapPointer, mov, pointerTo, returns, store } from '../src/assembler.ts';
import { attachTc } from '../src/attach.ts';
import { createMap, indexKey, sumPerCpu } from '../src/map.ts';
import { loadProgram } from '../src/program.ts';
import { stackSlots } from '../src/stack.ts';

/** struct __sk_buff */
const DATA = 76;
const DATA_END = 80;
const NEXT = -1; // let others decide

/** Of packets whose IP header begins after so many bytes. */
export function countProtocols(linkHeader: number) {
  const stack = stackSlots({ key: 4 });
  return [
    load('u32', 'r2', at('r1', DATA)),
    load('u32', 'r3', at('r1', DATA_END)),
    mov('r4', 'r2'),
    add('r4', linkHeader + 20),
    jumpIf('r4', 'gt', 'r3', 'done'),
    load('u8', 'r5', at('r2', linkHeader + 9)),
    store('u32', stack.key, 'r5'),
    mapPointer('r1', 'counters'),
    pointerTo('r2', stack.key),
    call('map_lookup_elem'),
    jumpIf('r0', 'eq', 0, 'done'),
    // Each processor has its own: nothing to lock.
    load('u64', 'r1', at('r0')),
    add('r1', 1),
    store('u64', at('r0'), 'r1'),
    label('done'),
    returns(NEXT),
  ];
}

/** Attached as long as it is not closed. */
export function countOn(device: string) {
  const nl = openNetlink();
  const counters = createMap({ type: 'per-cpu-array', name: 'counters', keyBytes: 4, valueBytes: 8, maxEntries: 256 });
  const program = loadProgram({ type: 'tc', name: 'count', code: countProtocols(14), maps: { counters } });
  const interfaceIndex = getLink(nl, device)!.index;
  const attachment = attachTc(nl, { interfaceIndex, direction: 'ingress', priority: 1 }, program);
  return {
    count: (protocol: number) => sumPerCpu(counters.lookup(indexKey(protocol))!, 8)[0]!,
    close: () => {
      attachment.detach();
      program.close();
      counters.close();
      nl.close();
    },
  };
}
