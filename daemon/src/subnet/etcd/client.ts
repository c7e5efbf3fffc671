/**
 * The few etcd calls that a subnet manager needs: the next endpoint after a failure, and a fresh channel (new connection, new
 * token, certificate files read again) for an endpoint that failed. Watch streams are followed in watch.ts.
 *
 * All mutations here compare before they write, so a call whose answer was lost may be repeated on another endpoint.
 */
import {
  EtcdInvalidAuthTokenError,
  EtcdLeaseInvalidError,
  EtcdPermissionDeniedError,
  isRecoverableError,
} from 'etcd3/lib/errors';
import type * as RPC from 'etcd3/lib/rpc';
import { DaemonError, messageOf } from '../../errors.ts';
import { monotonicNow } from '../clock.ts';
import { Channel, type WatchStream } from './channel.ts';
import type { EtcdOptions } from './settings.ts';

export interface KeyValue {
  readonly key: string;
  readonly value: string;
  readonly modRevision: string;
  /** '0' without a lease: the key does not expire. */
  readonly leaseId: string;
}

export interface RangeResult {
  readonly revision: string;
  readonly keyValues: readonly KeyValue[];
}

/** What a write demands of the key it writes: the revision it was read at, or that it is not there. */
export type Expectation = { readonly modRevision: string } | 'absent';

/** A key as it was read. */
export interface KnownKey {
  readonly key: string;
  readonly modRevision: string;
}

interface Condition {
  readonly key: string;
  readonly expected: Expectation;
}

const asFound = ({ key, modRevision }: KnownKey): Condition => ({ key, expected: { modRevision } });
const deletion = ({ key }: { readonly key: string }) => ({ request_delete_range: { key: Buffer.from(key) } });

interface Endpoint {
  readonly address: string;
  channel: Channel | undefined;
}

/** A stream, and the channel to name in rotate() when it fails. */
export interface OpenStream {
  readonly stream: WatchStream;
  readonly channel: Channel;
}

export class EtcdClient {
  private readonly endpoints: Endpoint[];
  private current: number;
  private closed = false;
  private rotations = 0;
  private answeredAt: number | undefined;
  private readonly startedAt = monotonicNow();

  /** `first`, from 0 to below 1, chooses the endpoint to begin with: not all nodes begin with the first member. */
  constructor(
    private readonly options: Omit<EtcdOptions, 'prefix'>,
    first: number = Math.random(),
  ) {
    this.endpoints = options.endpoints.map((address) => ({ address, channel: undefined }));
    this.current = Math.floor(first * this.endpoints.length);
  }

  /** The endpoint in use. */
  get endpoint(): string {
    return this.endpoints[this.current]!.address;
  }

  /** For a person: etcdctl with what it needs to reach the endpoint as this client does, but for a password. */
  get commandLine(): string {
    const { caFile, certFile, keyFile, username } = this.options;
    return [
      `etcdctl --endpoints ${this.endpoint}`,
      ...(caFile === undefined ? [] : [`--cacert ${caFile}`]),
      ...(certFile === undefined ? [] : [`--cert ${certFile}`]),
      ...(keyFile === undefined ? [] : [`--key ${keyFile}`]),
      ...(username === undefined ? [] : [`--user ${username}`]),
    ].join(' ');
  }

  /** How often another endpoint was chosen. */
  get failovers(): number {
    return this.rotations;
  }

  /** Whether etcd has answered anything at all. */
  get answered(): boolean {
    return this.answeredAt !== undefined;
  }

  /** Milliseconds since etcd last answered anything; since the start if it never did. */
  get silentMs(): number {
    return monotonicNow() - (this.answeredAt ?? this.startedAt);
  }

  /** For streams, which are followed elsewhere. */
  heard(): void {
    this.answeredAt = monotonicNow();
  }

  async range(key: string, rangeEnd?: Buffer): Promise<RangeResult> {
    const request = { key: Buffer.from(key), ...(rangeEnd && { range_end: rangeEnd }) };
    const response = await this.call<RPC.IRangeResponse>('KV', 'range', request);
    return { revision: response.header.revision, keyValues: response.kvs.map(keyValueFrom) };
  }

  /** The granted seconds may be more than asked: the server has a minimum. */
  async grantLease(ttlSeconds: number): Promise<{ readonly id: string; readonly ttlSeconds: number }> {
    const response = await this.call<RPC.ILeaseGrantResponse>('Lease', 'leaseGrant', { TTL: ttlSeconds, ID: 0 });
    if (response.error) throw new DaemonError('ETCD', `Etcd granted no lease: ${response.error}`);
    return { id: response.ID, ttlSeconds: Number(response.TTL) };
  }

  async revokeLease(id: string): Promise<void> {
    await this.call('Lease', 'leaseRevoke', { ID: id });
  }

  /**
   * Renews a lease: the seconds it has from now on, or undefined when it is gone. Unlike a put it writes nothing to the
   * store: it wakes no watcher, and works when etcd is out of space.
   */
  async keepAlive(id: string): Promise<number | undefined> {
    const ttl = await this.onSomeEndpoint((channel) => channel.keepAlive(id));
    return ttl > 0 ? ttl : undefined;
  }

  /**
   * Writes when the key is as expected, and deletes the keys in whose place it is in the same step when they are; undefined when one is
   * not, the revision of the write otherwise.
   */
  async putIf(
    key: string,
    expected: Expectation,
    value: string,
    leaseId: string,
    insteadOf: readonly KnownKey[] = [],
  ): Promise<string | undefined> {
    const put = { request_put: { key: Buffer.from(key), value: Buffer.from(value), lease: leaseId } };
    return this.transact([{ key, expected }, ...insteadOf.map(asFound)], [...insteadOf.map(deletion), put]);
  }

  async deleteIf(key: string, expected: Expectation): Promise<string | undefined> {
    return this.transact([{ key, expected }], [deletion({ key })]);
  }

  /** On the present endpoint. */
  async openWatchStream(): Promise<OpenStream> {
    const channel = this.channelOf(this.endpoints[this.current]!);
    try {
      return { stream: await channel.watch(), channel };
    } catch (error) {
      this.rotate(channel);
      throw asDaemonError(error, this.options.endpoints);
    }
  }

  /**
   * Lets the next call or stream begin on another endpoint with a new connection. Does nothing when the failed channel is no
   * longer the one in use: of several users that fail together, each would skip an endpoint, and with as many users as
   * endpoints all would be back at the dead one.
   */
  rotate(failed: Channel): void {
    const endpoint = this.endpoints[this.current]!;
    if (endpoint.channel !== failed) return;
    failed.close();
    endpoint.channel = undefined;
    this.current = (this.current + 1) % this.endpoints.length;
    this.rotations++;
  }

  /** Lets the next call begin with a new connection to the same endpoint. */
  reconnect(): void {
    const endpoint = this.endpoints[this.current]!;
    endpoint.channel?.close();
    endpoint.channel = undefined;
  }

  close(): void {
    this.closed = true;
    for (const endpoint of this.endpoints) endpoint.channel?.close();
  }

  private async transact(
    conditions: readonly Condition[],
    success: readonly RPC.IRequestOp[],
  ): Promise<string | undefined> {
    const compare = conditions.map(({ key, expected }) =>
      expected === 'absent'
        ? { key: Buffer.from(key), target: 'Version', result: 'Equal', version: 0 }
        : { key: Buffer.from(key), target: 'Mod', result: 'Equal', mod_revision: expected.modRevision },
    );
    const request = { compare, success, failure: [] };
    const response = await this.call<RPC.ITxnResponse>('KV', 'txn', request);
    return response.succeeded ? response.header.revision : undefined;
  }

  private call<T>(service: 'KV' | 'Lease', method: string, payload: unknown): Promise<T> {
    return this.onSomeEndpoint((channel) => channel.unary<T>(service, method, payload));
  }

  /** Once on every endpoint, until one answers. */
  private async onSomeEndpoint<T>(run: (channel: Channel) => Promise<T>): Promise<T> {
    let failure: unknown;
    for (let attempt = 0; attempt < Math.max(2, this.endpoints.length); attempt++) {
      if (this.closed) break;
      let channel: Channel | undefined;
      try {
        channel = this.channelOf(this.endpoints[this.current]!);
        const answer = await run(channel);
        this.heard();
        return answer;
      } catch (error) {
        failure = error;
        if (!mayTryAgain(error)) break;
        if (channel !== undefined) this.rotate(channel);
      }
    }
    throw asDaemonError(failure, this.options.endpoints);
  }

  private channelOf(endpoint: Endpoint): Channel {
    if (this.closed) throw new DaemonError('ETCD', 'The etcd client is closed');
    endpoint.channel ??= new Channel(endpoint.address, this.options);
    return endpoint.channel;
  }
}

export function keyValueFrom(kv: RPC.IKeyValue): KeyValue {
  return {
    key: kv.key.toString('utf8'),
    value: kv.value.toString('utf8'),
    modRevision: kv.mod_revision,
    leaseId: kv.lease,
  };
}

/** The end of the range of all keys with this prefix: the prefix with its last byte raised (etcd clientv3.GetPrefixRangeEnd). */
export function prefixRangeEnd(prefix: string): Buffer {
  const end = Buffer.from(prefix);
  end[end.length - 1]! += 1; // our prefixes end in ASCII, so there is no carry
  return end;
}

function mayTryAgain(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  // An expired token: the channel made after rotate() authenticates anew.
  return isRecoverableError(error) || error instanceof EtcdInvalidAuthTokenError;
}

/** The key cannot be given this etcd lease: it has ended, or belongs to a store that was replaced. */
export function isLeaseNotFound(error: unknown): boolean {
  return error instanceof DaemonError && error.cause instanceof EtcdLeaseInvalidError;
}

/** Etcd accepts no writes until space is freed and the alarm disarmed; reads and keep-alives work. */
export function isOutOfSpace(error: unknown): boolean {
  return error instanceof DaemonError && error.message.includes('database space exceeded');
}

function asDaemonError(error: unknown, endpoints: readonly string[]): DaemonError {
  if (error instanceof DaemonError) return error;
  const reason = messageOf(error ?? 'closed');
  const hint =
    error instanceof EtcdPermissionDeniedError
      ? ': give this user read and write access to the prefix'
      : reason.includes('database space exceeded')
        ? ': compact and defragment etcd or raise its --quota-backend-bytes, then disarm the alarm (etcdctl alarm disarm)'
        : '';
  return new DaemonError('ETCD', `Etcd at ${endpoints.join(', ')} failed: ${reason}${hint}`, {
    cause: error,
  });
}
