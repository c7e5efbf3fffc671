/** Where the programs of a device hang before Linux 6.6: other programs may come before and after, and other networks have their own. */
import type { BpfFilterPlace, TcDirection } from '@flannel-ts/rtnetlink/tc';

const PRIORITY = 0x5f1a;

/** As `bpftool prog` and `tc filter` show it. */
export function programTitle(name: string): string {
  return `fl_${name}`;
}

export function filterPlace(device: string, linkIndex: number, direction: TcDirection): BpfFilterPlace {
  return { linkIndex, direction, priority: PRIORITY, handle: handleOf(device) };
}

/** FNV-1a: two devices of one host have different ones; 0 would let the kernel choose. */
function handleOf(device: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(device)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return (hash % 0x7fff_fffe) + 1;
}
