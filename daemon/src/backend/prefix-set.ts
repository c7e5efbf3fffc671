import { familyOf, type Ip } from '@flannel-ts/inet/ip';
import { type Prefix, prefixFrom } from '@flannel-ts/inet/prefix';

/** Prefixes, asked for the ones around an address. A look-up costs as much as there are different lengths, which are few. */
export class PrefixSet {
  private readonly bases = { 4: new Map<number, Set<Ip>>(), 6: new Map<number, Set<Ip>>() };

  add({ family, base, length }: Prefix): void {
    const lengths = this.bases[family];
    const bases = lengths.get(length);
    if (bases === undefined) lengths.set(length, new Set([base]));
    else bases.add(base);
  }

  /** One that holds the address. */
  around(ip: Ip): Prefix | undefined {
    for (const [length, bases] of this.bases[familyOf(ip)]) {
      const prefix: Prefix = prefixFrom(ip, length);
      if (bases.has(prefix.base)) return prefix;
    }
    return undefined;
  }
}
