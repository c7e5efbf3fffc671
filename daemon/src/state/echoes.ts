/**
 * FDB entries that this process has changed, to know the kernel's notifications of them: those of a vxlan device do not say who
 * caused them (drivers/net/vxlan/vxlan_core.c, vxlan_fdb_notify), and each would ask for a comparison of all. Pure.
 */
import type { FdbEntry } from '@flannel-ts/rtnetlink/fdb';
import type { Action } from '@flannel-ts/rtnetlink/monitor';

/** A notification that did not come by then was lost; the same one later is somebody else's. */
const COMES_WITHIN_MS = 1000;

export type FdbChange = Pick<FdbEntry, 'index' | 'mac' | 'dst'>;

export class Echoes {
  private readonly expected = new Map<string, { readonly count: number; readonly until: number }>();
  /** When the last one of them is over. */
  private end = 0;

  expect(action: Action, entry: FdbChange, now: number): void {
    if (this.end < now) this.expected.clear();
    this.end = now + COMES_WITHIN_MS;
    const key = keyOf(action, entry);
    this.expected.set(key, { count: (this.expected.get(key)?.count ?? 0) + 1, until: this.end });
  }

  /** Whether it was expected. Once for each. */
  take(action: Action, entry: FdbChange, now: number): boolean {
    const key = keyOf(action, entry);
    const found = this.expected.get(key);
    if (found === undefined) return false;
    if (found.count > 1) this.expected.set(key, { ...found, count: found.count - 1 });
    else this.expected.delete(key);
    return now <= found.until;
  }
}

function keyOf(action: Action, { index, mac, dst }: FdbChange): string {
  return `${action} ${index} ${mac} ${dst}`;
}
