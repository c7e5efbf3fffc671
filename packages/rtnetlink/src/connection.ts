/**
 * Requests and dumps over one netlink socket, synchronously. The kernel answers a request before send() returns, so
 * nothing here really waits; the timeout is a backstop.
 */
import { errnoName } from '@flannel-ts/linux/errno';
import { concatBytes } from './attributes.ts';
import { NetlinkError } from './errors.ts';
import {
  encodeMessage,
  type NetlinkMessage,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_NOOP,
  NLMSG_OVERRUN,
  parseAcknowledgement,
  parseMessages,
} from './message.ts';
import { openTransport, type Transport, type TransportOptions } from './transport.ts';

/** kube-router's bound for interrupted dumps is 30 tries as well (internal/nlretry). */
const DUMP_TRIES = 30;
const MAX_PAUSE_MS = 50;
/** Refusals of all of them still fit into a receive buffer of the kernel's default size. */
const REQUESTS_PER_DATAGRAM = 64;

export interface NetlinkRequest {
  readonly type: number;
  /** Flags besides NLM_F_REQUEST, NLM_F_ACK and NLM_F_DUMP. */
  readonly flags?: number;
  /** The family's header and its attributes, one after the other. */
  readonly parts: readonly Uint8Array[];
  /** What is tried, to be read after "Cannot" if it fails: `add route 10.1.0.0/16`. */
  readonly operation: string;
}

/** Why a request of a transaction was not taken: its place in it, or -1 for the whole. */
export interface Refusal {
  readonly place: number;
  readonly error: NetlinkError;
}

/**
 * Where to work (`netns`: a path like `/run/netns/NAME`; the caller's own namespace by default), how long to wait, and the
 * netlink protocol, rtnetlink by default.
 */
export type NetlinkOptions = TransportOptions;

/**
 * A connection to the network stack of one namespace. The socket stays in the namespace in which it was opened, whatever
 * namespace the thread enters afterwards.
 */
export class Netlink {
  #seq = 0;
  #closed = false;

  constructor(
    private readonly transport: Transport,
    private readonly pause: (ms: number) => void = sleepSync,
  ) {}

  /** By which the kernel knows this connection, and says in notifications who has made a change. */
  get portId(): number {
    return this.transport.portId;
  }

  /** Sends one request and returns the replies that come before its acknowledgement: none, or the object of a GET. */
  request(request: NetlinkRequest): NetlinkMessage[] {
    const replies: NetlinkMessage[] = [];
    const seq = this.#send(request, NLM_F_ACK);
    for (;;) {
      for (const message of this.#receive((answer) => answer.seq === seq, request.operation)) {
        if (message.type === NLMSG_ERROR) {
          throwIfRefused(message, request.operation);
          return replies;
        }
        replies.push(message);
      }
    }
  }

  /**
   * Sends requests that have no replies, many in one datagram. The kernel carries out or refuses each by itself, in this order: for
   * each the refusal, or undefined.
   */
  requestAll(requests: readonly NetlinkRequest[]): (NetlinkError | undefined)[] {
    const refusals: (NetlinkError | undefined)[] = [];
    for (let first = 0; first < requests.length; first += REQUESTS_PER_DATAGRAM) {
      refusals.push(...this.#requestTogether(requests.slice(first, first + REQUESTS_PER_DATAGRAM)));
    }
    return refusals;
  }

  /**
   * Sends requests that the kernel takes all together or not at all, between two messages that say so (nfnetlink's batches). The
   * refusals, none if all was taken: of single requests, or of the whole, whose place is -1.
   */
  transaction(begin: NetlinkRequest, requests: readonly NetlinkRequest[], end: NetlinkRequest): readonly Refusal[] {
    const last = requests.length - 1;
    const opening = this.#encode(begin, 0);
    const messages = requests.map((request, at) => this.#encode(request, at === last ? NLM_F_ACK : 0));
    const closing = this.#encode(end, 0);
    const places = new Map(messages.map(({ seq }, at) => [seq, at]));
    places.set(opening.seq, -1);
    const refusals: Refusal[] = [];
    this.transport.send(concatBytes([opening, ...messages, closing].map(({ bytes }) => bytes)));
    for (;;) {
      for (const message of this.#receive(({ seq }) => places.has(seq), begin.operation)) {
        if (message.type !== NLMSG_ERROR) continue;
        const place = places.get(message.seq)!;
        const error = refusalIn(message, place < 0 ? begin.operation : requests[place]!.operation);
        if (error !== undefined) refusals.push({ place, error });
        // A refusal of the whole is the only answer, or comes before the others.
        if (place === last || place < 0) return refusals;
      }
    }
  }

  /**
   * Lists objects. The kernel sets NLM_F_DUMP_INTR if the objects changed while it listed them: some may be missing or
   * twice, so that the dump is taken again, with a bound.
   */
  dump(request: NetlinkRequest): NetlinkMessage[] {
    for (let attempt = 0; attempt < DUMP_TRIES; attempt++) {
      const messages = this.#dumpOnce(request);
      if (messages) return messages;
      this.pause(Math.min(2 ** attempt, MAX_PAUSE_MS));
    }
    throw new NetlinkError(
      'EINTR',
      request.operation,
      `the list changed while it was read, ${DUMP_TRIES} times in a row`,
    );
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.transport.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** The kernel reports every refusal; success is acknowledged of the last request only. */
  #requestTogether(requests: readonly NetlinkRequest[]): (NetlinkError | undefined)[] {
    const refusals: (NetlinkError | undefined)[] = requests.map(() => undefined);
    const messages = requests.map((request, at) => this.#encode(request, at === requests.length - 1 ? NLM_F_ACK : 0));
    const places = new Map(messages.map(({ seq }, at) => [seq, at]));
    this.transport.send(concatBytes(messages.map(({ bytes }) => bytes)));
    for (;;) {
      for (const message of this.#receive(({ seq }) => places.has(seq), requests.at(-1)!.operation)) {
        if (message.type !== NLMSG_ERROR) continue;
        const at = places.get(message.seq)!;
        refusals[at] = refusalIn(message, requests[at]!.operation);
        if (at === requests.length - 1) return refusals;
      }
    }
  }

  /** Undefined if the dump was interrupted. Reads to the end even then: the next dump would get EBUSY otherwise. */
  #dumpOnce(request: NetlinkRequest): NetlinkMessage[] | undefined {
    const messages: NetlinkMessage[] = [];
    let interrupted = false;
    const seq = this.#send(request, NLM_F_DUMP);
    for (;;) {
      for (const message of this.#receive((answer) => answer.seq === seq, request.operation)) {
        interrupted ||= (message.flags & NLM_F_DUMP_INTR) !== 0;
        if (message.type === NLMSG_DONE || message.type === NLMSG_ERROR) {
          throwIfRefused(message, request.operation);
          return interrupted ? undefined : messages;
        }
        messages.push(message);
      }
    }
  }

  #send(request: NetlinkRequest, flags: number): number {
    const { bytes, seq } = this.#encode(request, flags);
    this.transport.send(bytes);
    return seq;
  }

  #encode(request: NetlinkRequest, flags: number): { bytes: Uint8Array; seq: number } {
    if (this.#closed) throw new NetlinkError('EBADF', request.operation, 'the netlink connection is closed');
    // 0 is the sequence number of notifications.
    this.#seq = this.#seq === 0xffffffff ? 1 : this.#seq + 1;
    const seq = this.#seq;
    const allFlags = NLM_F_REQUEST | flags | (request.flags ?? 0);
    const payload = concatBytes(request.parts);
    return { bytes: encodeMessage({ type: request.type, flags: allFlags, seq, pid: 0, payload }), seq };
  }

  /** The messages of one datagram that are an answer. Leftovers of an earlier request that failed are dropped. */
  #receive(isAnswer: (message: NetlinkMessage) => boolean, operation: string): NetlinkMessage[] {
    const datagram = this.transport.receive(operation);
    // Any process may send to our port id; only the kernel sends from port id 0.
    if (datagram.sender !== 0) return [];
    const messages = parseMessages(datagram.bytes).filter(
      (message) => isAnswer(message) && message.type !== NLMSG_NOOP,
    );
    if (messages.some((message) => message.type === NLMSG_OVERRUN)) {
      throw new NetlinkError('ENOBUFS', operation, 'the kernel lost a part of the reply');
    }
    return messages;
  }
}

/** Opens a connection to this namespace or to another one, given by its path. Close it after use. */
export function openNetlink(options: NetlinkOptions = {}): Netlink {
  return new Netlink(openTransport(options));
}

/** Opens a connection for the time of `use`. */
export function withNetlink<T>(options: NetlinkOptions, use: (nl: Netlink) => T): T {
  const nl = openNetlink(options);
  try {
    return use(nl);
  } finally {
    nl.close();
  }
}

function throwIfRefused(message: NetlinkMessage, operation: string): void {
  const refusal = refusalIn(message, operation);
  if (refusal !== undefined) throw refusal;
}

function refusalIn(message: NetlinkMessage, operation: string): NetlinkError | undefined {
  const { errno, text, missingType } = parseAcknowledgement(message);
  if (errno === 0) return undefined;
  const missing = missingType === undefined ? undefined : `attribute ${missingType} is missing in the request`;
  return new NetlinkError(errnoName(errno), operation, missing, text);
}

function sleepSync(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
