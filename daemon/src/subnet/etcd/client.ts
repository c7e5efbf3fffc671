/**
 * The few etcd calls that a subnet manager needs: the next endpoint after a failure, and a fresh channel (new connection, new
 * token, certificate files read again) for an endpoint that failed. Watch streams are followed in watch.ts.
 *
 * All mutations here compare before they write, so a call whose answer was lost may be repeated on another endpoint.
 */
import { EtcdInvalidAuthTokenError, EtcdPermissionDeniedError, isRecoverableError } from 'etcd3/lib/errors';
import type * as RPC from 'etcd3/lib/rpc';
import { DaemonError, messageOf } from '../../errors.ts';
import { Channel, type WatchStream } from './channel.ts';
import type { EtcdOptions } from './settings.ts';

export interface KeyValue {
  readonly key: string;
  readonly value: string;
  readonly modRevision: string;
  /** '0' without a lease: the key stays for ever. */
  readonly leaseId: string;
}

export interface RangeResult {
  readonly revision: string;
  readonly keyValues: readonly KeyValue[];
}

/** What a write demands of the key it writes: the revision it was read at, or that it is not there. */
export type Expectation = { readonly modRevision: string } | 'absent';

interface Endpoint {
  readonly address: string;
  channel: Channel | undefined;
}

export class EtcdClient {
  private readonly endpoints: Endpoint[];
  private current: number;
  private closed = false;

  constructor(private readonly options: Omit<EtcdOptions, 'prefix'>) {
    this.endpoints = options.endpoints.map((address) => ({ address, channel: undefined }));
    // Not all nodes on the first member.
    this.current = Math.floor(Math.random() * this.endpoints.length);
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

  /** Seconds that a lease still has; undefined when it is gone. */
  async leaseTimeToLive(id: string): Promise<number | undefined> {
    const response = await this.call<RPC.ILeaseTimeToLiveResponse>('Lease', 'leaseTimeToLive', { ID: id, keys: false });
    return Number(response.TTL) > 0 ? Number(response.TTL) : undefined;
  }

  /** Writes when the key is as expected; undefined when it is not, the revision of the write otherwise. */
  async putIf(key: string, expected: Expectation, value: string, leaseId: string): Promise<string | undefined> {
    const put = { request_put: { key: Buffer.from(key), value: Buffer.from(value), lease: leaseId } };
    return this.transact(key, expected, put);
  }

  async deleteIf(key: string, expected: Expectation): Promise<string | undefined> {
    return this.transact(key, expected, { request_delete_range: { key: Buffer.from(key) } });
  }

  /** On the present endpoint. */
  openWatchStream(): Promise<WatchStream> {
    return this.channelOf(this.endpoints[this.current]!).watch();
  }

  /** Lets the next call or stream begin on another endpoint with a new connection. */
  rotate(): void {
    const endpoint = this.endpoints[this.current]!;
    endpoint.channel?.close();
    endpoint.channel = undefined;
    this.current = (this.current + 1) % this.endpoints.length;
  }

  close(): void {
    this.closed = true;
    for (const endpoint of this.endpoints) endpoint.channel?.close();
  }

  private async transact(key: string, expected: Expectation, success: RPC.IRequestOp): Promise<string | undefined> {
    const compare =
      expected === 'absent'
        ? { key: Buffer.from(key), target: 'Version', result: 'Equal', version: 0 }
        : { key: Buffer.from(key), target: 'Mod', result: 'Equal', mod_revision: expected.modRevision };
    const request = { compare: [compare], success: [success], failure: [] };
    const response = await this.call<RPC.ITxnResponse>('KV', 'txn', request);
    return response.succeeded ? response.header.revision : undefined;
  }

  /** Once on every endpoint, until one answers. */
  private async call<T>(service: 'KV' | 'Lease', method: string, payload: unknown): Promise<T> {
    let failure: unknown;
    for (let attempt = 0; attempt < Math.max(2, this.endpoints.length); attempt++) {
      if (this.closed) break;
      const endpoint = this.endpoints[this.current]!;
      let channel: Channel | undefined;
      try {
        channel = this.channelOf(endpoint);
        return await channel.unary<T>(service, method, payload);
      } catch (error) {
        failure = error;
        if (!mayTryAgain(error)) break;
        // Unless another call has already moved on.
        if (endpoint === this.endpoints[this.current] && endpoint.channel === channel) this.rotate();
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

function asDaemonError(error: unknown, endpoints: readonly string[]): DaemonError {
  if (error instanceof DaemonError) return error;
  const hint = error instanceof EtcdPermissionDeniedError ? ': give this user read and write access to the prefix' : '';
  return new DaemonError('ETCD', `Etcd at ${endpoints.join(', ')} failed: ${messageOf(error ?? 'closed')}${hint}`, {
    cause: error,
  });
}
