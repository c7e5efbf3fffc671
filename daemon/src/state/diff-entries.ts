/** ARP, NDP and FDB entries: the difference between desired and actual. Pure. */
import type { ActualFdbEntry, ActualNeighbour } from './actual.ts';
import type { EntryChange } from './change.ts';
import type { DesiredFdbEntry, DesiredNeighbour, DesiredState } from './desired.ts';
import type { LinkDifference } from './diff-links.ts';

export interface EntryDifference {
  readonly set: readonly EntryChange[];
  readonly deletions: readonly EntryChange[];
}

export function diffNeighbours(
  { neighbours: wanted = [], complete }: DesiredState,
  there: readonly ActualNeighbour[],
  links: LinkDifference,
): EntryDifference {
  const { missing, surplus } = diffEntries<DesiredNeighbour, ActualNeighbour>(wanted, there, links, {
    keyOf: ({ link, address }) => `${link} ${address}`,
    isSame: (entry, found) => found.permanent && found.mac === entry.mac && !links.flushed.has(entry.link),
  });
  return {
    set: missing.map((entry) => ({ type: 'set-neighbour', entry })),
    deletions: complete ? surplus.map((entry) => ({ type: 'delete-neighbour', entry })) : [],
  };
}

export function diffFdb(
  { fdb: wanted = [], complete }: DesiredState,
  there: readonly ActualFdbEntry[],
  links: LinkDifference,
): EntryDifference {
  const { missing, surplus } = diffEntries<DesiredFdbEntry, ActualFdbEntry>(wanted, there, links, {
    keyOf: ({ link, mac }) => `${link} ${mac}`,
    isSame: (entry, found) => found.permanent && found.remote === entry.remote,
  });
  return {
    set: missing.map((entry) => ({ type: 'set-fdb', entry })),
    deletions: complete ? surplus.map((entry) => ({ type: 'delete-fdb', entry })) : [],
  };
}

interface EntryKind<Wanted, There> {
  readonly keyOf: (entry: Wanted | There) => string;
  readonly isSame: (wanted: Wanted, there: There) => boolean;
}

/** Entries that the kernel has learned by itself are not permanent: they are never surplus. */
function diffEntries<
  Wanted extends { readonly link: string },
  There extends { readonly link: string; readonly permanent: boolean },
>(
  wanted: readonly Wanted[],
  there: readonly There[],
  { fresh, absent }: LinkDifference,
  { keyOf, isSame }: EntryKind<Wanted, There>,
): { missing: Wanted[]; surplus: There[] } {
  const found = new Map(there.filter(({ link }) => !fresh.has(link)).map((entry) => [keyOf(entry), entry]));
  const missing = new Map<string, Wanted>();
  const kept = new Set<string>();
  for (const entry of wanted) {
    if (absent.has(entry.link)) continue;
    const key = keyOf(entry);
    if (kept.has(key)) continue;
    kept.add(key);
    const same = found.get(key);
    if (same === undefined || !isSame(entry, same)) missing.set(key, entry);
  }
  const surplus = [...found].filter(([key, { permanent }]) => permanent && !kept.has(key)).map(([, entry]) => entry);
  return { missing: [...missing.values()], surplus };
}
