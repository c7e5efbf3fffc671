/**
 * The few etcd calls that a subnet manager needs, on etcd3's connection pool, without its policies: one pool per endpoint,
 * a deadline on every call, the next endpoint after a failure, and a fresh pool (new connection, new token, certificate
 * files read again) for an endpoint that failed. Watch streams are in watch.ts.
 *
 * All mutations here compare before they write, so a call whose answer was lost may be repeated on another endpoint.
 */
import { readFileSync } from 'node:fs';
import type { IOptions } from 'etcd3';
import { ConnectionPool } from 'etcd3/lib/connection-pool';
import {
  castGrpcError,
  EtcdInvalidAuthTokenError,
  EtcdPermissionDeniedError,
  isRecoverableError,
} from 'etcd3/lib/errors';
import type * as RPC from 'etcd3/lib/rpc';
import { defined } from '../../defined.ts';
import { DaemonError, messageOf } from '../../errors.ts';
import type { EtcdOptions } from '../../options.ts';

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
  pool: ConnectionPool | undefined;
}

export type WatchStream = Awaited<ReturnType<RPC.WatchClient['watch']>>;

const CALL_TIMEOUT_MS = 5000;

// etcd refuses pings more often than every 5 s ("too many pings", server/embed DefaultGRPCKeepAliveMinTime).
const CHANNEL_OPTIONS = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.initial_reconnect_backoff_ms': 200,
  'grpc.max_reconnect_backoff_ms': 2000,
};

export class EtcdClient {
  private readonly endpoints: Endpoint[];
  private current: number;
  private closed = false;

  constructor(private readonly options: Omit<EtcdOptions, 'prefix'>) {
    this.endpoints = options.endpoints.map((address) => ({ address, pool: undefined }));
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

  /** A stream on the present endpoint; `hasleader` makes a member without a leader end it instead of keeping silent. */
  async openWatchStream(): Promise<WatchStream> {
    const endpoint = this.endpoints[this.current]!;
    return this.poolOf(endpoint).withConnection('Watch', ({ client, metadata }) => {
      const withLeader = metadata.clone();
      withLeader.set('hasleader', 'true');
      return (client as unknown as { watch(metadata: unknown): WatchStream }).watch(withLeader);
    });
  }

  /** Lets the next call or stream begin on another endpoint with a new connection. */
  rotate(): void {
    const endpoint = this.endpoints[this.current]!;
    endpoint.pool?.close();
    endpoint.pool = undefined;
    this.current = (this.current + 1) % this.endpoints.length;
  }

  close(): void {
    this.closed = true;
    for (const endpoint of this.endpoints) endpoint.pool?.close();
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
      let pool: ConnectionPool | undefined;
      try {
        pool = this.poolOf(endpoint);
        return await unary<T>(pool, service, method, payload);
      } catch (error) {
        failure = error;
        if (!mayTryAgain(error)) break;
        // Unless another call has already moved on.
        if (endpoint === this.endpoints[this.current] && endpoint.pool === pool) this.rotate();
      }
    }
    throw asDaemonError(failure, this.options.endpoints);
  }

  private poolOf(endpoint: Endpoint): ConnectionPool {
    if (this.closed) throw new DaemonError('ETCD', 'The etcd client is closed');
    endpoint.pool ??= new ConnectionPool(poolOptions(endpoint.address, this.options));
    return endpoint.pool;
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

function unary<T>(pool: ConnectionPool, service: 'KV' | 'Lease', method: string, payload: unknown): Promise<T> {
  type Call = (
    payload: unknown,
    metadata: unknown,
    options: object,
    done: (error: Error | null, response: T) => void,
  ) => void;
  return pool.withConnection(
    service,
    ({ client, metadata }) =>
      new Promise<T>((resolve, reject) => {
        const call = (client as unknown as Record<string, Call>)[method]!;
        call.call(client, payload, metadata, { deadline: Date.now() + CALL_TIMEOUT_MS }, (error, response) =>
          error ? reject(castGrpcError(error)) : resolve(response),
        );
      }),
  );
}

function poolOptions(address: string, options: Omit<EtcdOptions, 'prefix'>): IOptions {
  const read = (file: string | undefined) => (file === undefined ? undefined : readFileSync(file));
  const tls = {
    rootCertificate: read(options.caFile),
    privateKey: read(options.keyFile),
    certChain: read(options.certFile),
  };
  const secure = address.startsWith('https:');
  // createSsl takes null for "the system's own authorities"; etcd3's type does not know it.
  const credentials = { ...defined(tls), rootCertificate: tls.rootCertificate ?? null } as IOptions['credentials'];
  const { username, password = '' } = options;
  return {
    hosts: [address],
    grpcOptions: CHANNEL_OPTIONS,
    faultHandling: { host: () => NO_POLICY, global: NO_POLICY },
    ...(secure && credentials && { credentials }),
    ...(username !== undefined && {
      auth: { username, password, callOptions: () => ({ deadline: Date.now() + CALL_TIMEOUT_MS }) },
    }),
  };
}

type Policy = NonNullable<NonNullable<IOptions['faultHandling']>['global']>;

/** etcd3's circuit breaker would refuse calls for 5 s after etcd is back, and its retry repeats on the same endpoint. */
const NO_POLICY = {
  execute: (run: (context: unknown) => unknown) => Promise.resolve().then(() => run({})),
} as unknown as Policy;

function mayTryAgain(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  // An expired token: the pool that rotate() makes authenticates anew.
  return isRecoverableError(error) || error instanceof EtcdInvalidAuthTokenError;
}

function asDaemonError(error: unknown, endpoints: readonly string[]): DaemonError {
  if (error instanceof DaemonError) return error;
  const hint = error instanceof EtcdPermissionDeniedError ? ': give this user read and write access to the prefix' : '';
  return new DaemonError('ETCD', `Etcd at ${endpoints.join(', ')} failed: ${messageOf(error ?? 'closed')}${hint}`, {
    cause: error,
  });
}
