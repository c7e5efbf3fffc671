/** What a change of interface, address or MTU between nodes means for a joined network: same subnet, another way to it. */
import { formatIp } from '@flannel-ts/inet/ip';
import type { Logger } from 'pino';
import { childSignal, sleep } from './abort.ts';
import type { Backend } from './backend/backend.ts';
import { messageOf } from './errors.ts';
import type { Membership } from './subnet/manager.ts';
import type { InterfaceSearch } from './underlay/find.ts';
import type { ExternalInterface } from './underlay/select.ts';
import { type UnderlayWatchParts, watchUnderlay } from './underlay/watch.ts';

export interface FollowUnderlayParts extends UnderlayWatchParts {
  readonly backend: Backend;
  readonly membership: Membership;
  /** Moves the data path; rejects when the address cannot be had, with all as it was. */
  readonly move: (external: ExternalInterface) => Promise<void>;
  readonly log: Logger;
}

const RETRY_MS = 1000;

/** Ends only with the signal: whatever fails is reported and tried again, by what the node has by then. */
export async function followUnderlay(
  search: InterfaceSearch,
  parts: FollowUnderlayParts,
  first: ExternalInterface,
  signal: AbortSignal,
): Promise<void> {
  let current = first;
  let publishing = childSignal(signal);
  while (!signal.aborted) {
    try {
      for await (const external of watchUnderlay(search, parts, current, signal)) {
        await parts.move(external);
        parts.log.info({ ...inWords(external), before: inWords(current) }, 'The underlay has changed');
        current = external;
        publishing.abort();
        publishing.dispose();
        publishing = childSignal(signal);
        void publish(parts, external, publishing.signal);
      }
    } catch (error) {
      const trouble = `cannot use the new address, trying again: ${messageOf(error)}`;
      parts.log.error(`Underlay: ${trouble}`);
      parts.report(trouble);
      await sleep(RETRY_MS, signal);
    }
  }
  publishing.dispose();
}

/** Waits through outages of etcd, beside the watch: a later change takes its place. */
async function publish(
  { membership, backend, log }: FollowUnderlayParts,
  external: ExternalInterface,
  signal: AbortSignal,
): Promise<void> {
  try {
    await membership.publish(backend.attributes(external), signal);
    log.info(inWords(external), 'The other nodes are told the new address');
  } catch (error) {
    if (!signal.aborted) log.error(`Cannot tell the other nodes the new address: ${messageOf(error)}`);
  }
}

function inWords({ name, address, mtu }: ExternalInterface): { interface: string; address: string; mtu: number } {
  return { interface: name, address: formatIp(address), mtu };
}
