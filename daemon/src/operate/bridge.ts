/**
 * The bridge of pods belongs to the CNI plugin, which makes it and leaves it alone from then on. One that is taken down cuts all pods of
 * this node off, and only the next pod would bring it up: it is brought up again, as forwarding is turned on again.
 */
import { isLinkLocal } from '@flannel-ts/inet/ip';
import {
  formatInterfaceAddress,
  type InterfaceAddress,
  type Prefix,
  prefixContains,
  sameInterfaceAddress,
} from '@flannel-ts/inet/prefix';
import { ensureAddress, listAddresses } from '@flannel-ts/rtnetlink/address';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import { getLink, type Link, setLink } from '@flannel-ts/rtnetlink/link';
import type { Logger } from 'pino';
import { Bell } from '../abort.ts';
import { messageOf } from '../errors.ts';
import { Repeats } from '../repeats.ts';

export interface BridgeSettings {
  readonly name: string;
  /** This node's: a bridge without an address in them is another one's, or still being made. */
  readonly subnets: readonly Prefix[];
}

export interface BridgeParts {
  readonly nl: Netlink;
  /** Calls back after changes in the kernel, until the function it returns is called. */
  readonly onKernelEvent: (listener: () => void) => () => void;
  readonly report: (trouble: string | undefined) => void;
  readonly log: Logger;
}

/** Where readiness knows it by. */
export const BRIDGE = 'bridge';

const EVERY_MS = 5000;
/** A bridge that has not been up yet is still being made: other plugins give it its address before they bring it up. */
const MAKING_MS = 3000;

/** As it was when it was up. */
interface Known {
  readonly index: number;
  readonly addresses: readonly InterfaceAddress[];
}

/** Until the signal aborts. */
export async function keepBridge(settings: BridgeSettings, parts: BridgeParts, signal: AbortSignal): Promise<void> {
  const bell = new Bell();
  const unsubscribe = parts.onKernelEvent(() => bell.ring());
  const keeper = new BridgeKeeper(settings, parts);
  try {
    while (!signal.aborted) {
      keeper.look();
      await bell.wait(EVERY_MS, signal);
    }
  } finally {
    unsubscribe();
  }
}

class BridgeKeeper {
  private known: Known | undefined;
  /** Of a bridge that was never seen up. */
  private foundDown: { readonly index: number; readonly at: number } | undefined;
  private readonly repeats = new Repeats();

  constructor(
    private readonly settings: BridgeSettings,
    private readonly parts: BridgeParts,
  ) {}

  look(): void {
    const { nl, report, log } = this.parts;
    const { name } = this.settings;
    let trouble: string | undefined;
    try {
      const link = getLink(nl, name);
      if (link?.kind !== 'bridge') this.known = undefined;
      else if (link.up) this.known = { index: link.index, addresses: this.ownAddresses(link) };
      else if (this.isOurs(link) && !this.isBeingMade(link)) {
        this.bringUp(link);
        const cause = `The bridge ${name} was down, which cuts off the pods of this node: it is up again`;
        const line = this.repeats.failed(cause, performance.now());
        if (line !== undefined) log.warn(line);
        this.repeats.over(performance.now());
      }
    } catch (error) {
      trouble = `pods of this node are cut off, the bridge ${name} is down and cannot be brought up: ${messageOf(error)}`;
      const line = this.repeats.failed(trouble, performance.now());
      if (line !== undefined) log.error(line);
    }
    report(trouble);
  }

  private isBeingMade({ index }: Link): boolean {
    if (this.known?.index === index) return false;
    const now = performance.now();
    if (this.foundDown?.index !== index) this.foundDown = { index, at: now };
    return now - this.foundDown.at < MAKING_MS;
  }

  private isOurs(link: Link): boolean {
    return (this.known?.index === link.index ? this.known.addresses : this.ownAddresses(link)).length > 0;
  }

  /** With the IPv6 addresses, which the kernel takes off a link that goes down. */
  private bringUp({ index }: Link): void {
    const { nl, log } = this.parts;
    setLink(nl, index, { up: true });
    if (this.known?.index !== index) return;
    const present = listAddresses(nl, { index }).map(({ address }) => address);
    for (const address of this.known.addresses) {
      if (present.some((other) => sameInterfaceAddress(other, address))) continue;
      ensureAddress(nl, { index, address, noDad: true });
      log.debug(`Gave ${formatInterfaceAddress(address)} back to ${this.settings.name}`);
    }
  }

  private ownAddresses({ index }: Link): InterfaceAddress[] {
    const { subnets } = this.settings;
    return listAddresses(this.parts.nl, { index })
      .map(({ address }) => address)
      .filter(({ address }) => !isLinkLocal(address) && subnets.some((subnet) => prefixContains(subnet, address)));
  }
}
