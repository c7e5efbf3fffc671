/** Changes as they happen: `ip monitor`. The owner drains the monitor from its own timer or poll loop; nothing runs here. */
import { EAGAIN, EINTR, ENOBUFS, errnoName } from '@flannel-ts/linux/errno';
import { closeFd, type Fd } from '@flannel-ts/linux/files';
import {
  MSG_TRUNC,
  NETLINK_ADD_MEMBERSHIP,
  SO_RCVBUFFORCE,
  SOCK_NONBLOCK,
  SOL_NETLINK,
  SOL_SOCKET,
  setSocketOption,
  sockaddrNl,
  tryRecvFrom,
} from '@flannel-ts/linux/socket';
import { type Address, parseAddress } from './address.ts';
import * as c from './constants.ts';
import { NetlinkError } from './errors.ts';
import { type FdbEntry, parseFdbEntry } from './fdb.ts';
import { type Link, parseLink } from './link-codec.ts';
import { type NetlinkMessage, NLMSG_OVERRUN, parseMessages } from './message.ts';
import { type Neighbour, parseNeighbour } from './neighbour.ts';
import { parseRoute, type Route } from './route.ts';
import { parseRule, type Rule } from './rule.ts';
import { openNetlinkSocket, senderOf } from './transport.ts';

/** A link that leaves its master (bridge) reports that as `deleted` of family AF_BRIDGE, which is left out here. */
export type MonitorEvent =
  | { readonly type: 'link'; readonly action: Action; readonly link: Link }
  | { readonly type: 'address'; readonly action: Action; readonly address: Address }
  | { readonly type: 'route'; readonly action: Action; readonly route: Route }
  | { readonly type: 'rule'; readonly action: Action; readonly rule: Rule }
  | { readonly type: 'neighbour'; readonly action: Action; readonly neighbour: Neighbour }
  | { readonly type: 'fdb'; readonly action: Action; readonly entry: FdbEntry }
  /** Events were dropped because the socket's buffer was full: list everything again. */
  | { readonly type: 'lost' };

/** `set`: added or changed. Netlink does not say which. */
export type Action = 'set' | 'deleted';

const GROUPS = {
  link: [c.RTNLGRP_LINK],
  address: [c.RTNLGRP_IPV4_IFADDR, c.RTNLGRP_IPV6_IFADDR],
  route: [c.RTNLGRP_IPV4_ROUTE, c.RTNLGRP_IPV6_ROUTE],
  /** FDB entries come with the neighbours. */
  neighbour: [c.RTNLGRP_NEIGH],
  rule: [c.RTNLGRP_IPV4_RULE, c.RTNLGRP_IPV6_RULE],
} as const;

export type MonitorGroup = keyof typeof GROUPS;

export interface MonitorOptions {
  readonly groups: readonly MonitorGroup[];
  /** Path of the namespace to watch; the caller's own one by default. */
  readonly netns?: string | undefined;
  /** Room for what comes between two drains. */
  readonly receiveBufferBytes?: number | undefined;
  /**
   * Port id of a connection whose changes are left out, as far as the kernel names who made them: of routes, ARP and NDP entries and
   * IPv4 addresses it does, of FDB entries it does not.
   */
  readonly exceptOf?: number | undefined;
}

/** Notifications are small (a link of some hundred virtual functions: 20 KB); longer ones count as lost. */
const DATAGRAM_BYTES = 64 * 1024;
const DEFAULT_RECEIVE_BUFFER_BYTES = 1024 * 1024;

export class Monitor {
  readonly #buffer = new Uint8Array(DATAGRAM_BYTES);
  readonly #source = sockaddrNl();
  #closed = false;

  /** @param fd for poll(2): readable when there is something to drain */
  constructor(
    readonly fd: Fd,
    private readonly exceptOf: number | undefined,
  ) {}

  /**
   * Everything that has come since the last call, without waiting; at most `limit` datagrams, so that a storm of changes
   * does not hold the caller: what is left comes with the next call.
   */
  drain(limit = 1000): MonitorEvent[] {
    if (this.#closed) throw new NetlinkError('EBADF', 'read network events', 'the monitor is closed');
    const events: MonitorEvent[] = [];
    for (let count = 0; count < limit; count++) {
      const length = tryRecvFrom(this.fd, this.#buffer, MSG_TRUNC, this.#source);
      if (length === EAGAIN) break;
      if (length === EINTR) continue;
      if (length === ENOBUFS || length > this.#buffer.length) events.push({ type: 'lost' });
      else if (length < 0) throw new NetlinkError(errnoName(-length), 'read network events');
      else if (senderOf(this.#source) === 0) this.#append(events, length);
    }
    return events;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeFd(this.fd);
  }

  #append(events: MonitorEvent[], length: number): void {
    for (const message of parseMessages(this.#buffer.subarray(0, length))) {
      if (message.pid !== 0 && message.pid === this.exceptOf) continue;
      const event = eventOf(message);
      if (event) events.push(event);
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** `ip monitor link address route neigh` for the given groups. */
export function openMonitor(options: MonitorOptions): Monitor {
  const size = options.receiveBufferBytes ?? DEFAULT_RECEIVE_BUFFER_BYTES;
  const fd = openNetlinkSocket({ netns: options.netns }, SOCK_NONBLOCK, (socketFd) => {
    setSocketOption(socketFd, SOL_SOCKET, SO_RCVBUFFORCE, size);
    for (const group of options.groups) {
      for (const number of GROUPS[group]) setSocketOption(socketFd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, number);
    }
  });
  return new Monitor(fd, options.exceptOf);
}

/** The event in one notification; undefined for messages that are no such event. Pure. */
export function eventOf(message: NetlinkMessage): MonitorEvent | undefined {
  const { type, payload } = message;
  switch (type) {
    case c.RTM_NEWLINK:
    case c.RTM_DELLINK:
      if (payload[0] === c.AF_BRIDGE) return undefined;
      return { type: 'link', action: type === c.RTM_NEWLINK ? 'set' : 'deleted', link: parseLink(payload) };
    case c.RTM_NEWADDR:
    case c.RTM_DELADDR:
      return { type: 'address', action: type === c.RTM_NEWADDR ? 'set' : 'deleted', address: parseAddress(payload) };
    case c.RTM_NEWROUTE:
    case c.RTM_DELROUTE:
      return { type: 'route', action: type === c.RTM_NEWROUTE ? 'set' : 'deleted', route: parseRoute(payload) };
    case c.RTM_NEWRULE:
    case c.RTM_DELRULE:
      return { type: 'rule', action: type === c.RTM_NEWRULE ? 'set' : 'deleted', rule: parseRule(payload) };
    case c.RTM_NEWNEIGH:
    case c.RTM_DELNEIGH:
      return neighbourEvent(type === c.RTM_NEWNEIGH ? 'set' : 'deleted', payload);
    case NLMSG_OVERRUN:
      return { type: 'lost' };
    default:
      return undefined;
  }
}

function neighbourEvent(action: Action, payload: Uint8Array): MonitorEvent | undefined {
  const entry = parseFdbEntry(payload);
  if (entry) return { type: 'fdb', action, entry };
  const neighbour = parseNeighbour(payload);
  return neighbour && { type: 'neighbour', action, neighbour };
}
