/**
 * One connection to one etcd member: credentials, token, a deadline on every call. Of etcd3 it uses the services (from the
 * protocol definition) and the typed errors, not its connection pool: that offers no way to check the name of a server that
 * is addressed by IP, which is how clusters are addressed, without sending the IP as TLS server name. Bun refuses to (RFC 6066
 * section 3 forbids it), Node warns.
 */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import { type ChannelCredentials, type ChannelOptions, credentials, Metadata } from '@grpc/grpc-js';
import { Host } from 'etcd3/lib/connection-pool';
import { castGrpcError, GRPCDeadlineExceededError } from 'etcd3/lib/errors';
import type { IAuthenticateResponse, ILeaseKeepAliveResponse, LeaseClient, WatchClient } from 'etcd3/lib/rpc';
import type { EtcdOptions } from './settings.ts';

export type ChannelSettings = Omit<EtcdOptions, 'prefix' | 'endpoints'>;
export type WatchStream = Awaited<ReturnType<WatchClient['watch']>>;
type KeepAliveStream = Awaited<ReturnType<LeaseClient['leaseKeepAlive']>>;
type Service = 'KV' | 'Lease' | 'Auth';

const CALL_TIMEOUT_MS = 5000;

// etcd refuses pings more often than every 5 s, and all but a few without a call ("too many pings", server/embed
// DefaultGRPCKeepAliveMinTime).
const CHANNEL_OPTIONS: ChannelOptions = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5000,
  'grpc.initial_reconnect_backoff_ms': 200,
  'grpc.max_reconnect_backoff_ms': 2000,
};

export class Channel {
  private readonly host: Host;
  private metadata: Promise<Metadata> | undefined;

  /** Reads the certificate files: a channel made after they were renewed uses the new ones. */
  constructor(
    address: string,
    private readonly settings: ChannelSettings,
  ) {
    const name = /^https?:\/\/\[?([^\]]+)\]?:\d+$/.exec(address)?.[1] ?? '';
    const secure = address.startsWith('https:');
    const options = secure && isIP(name) !== 0 ? { ...CHANNEL_OPTIONS, ...NO_NAME } : CHANNEL_OPTIONS;
    this.host = new Host(address, secure ? tlsCredentials(settings, name) : credentials.createInsecure(), options);
  }

  /** Rejects with etcd3's typed errors. */
  async unary<T>(service: Service, method: string, payload: unknown): Promise<T> {
    return call<T>(this.host, service, method, payload, await this.authenticated());
  }

  /** `hasleader` makes a member without a leader end the stream instead of keeping silent. */
  async watch(): Promise<WatchStream> {
    const metadata = (await this.authenticated()).clone();
    metadata.set('hasleader', 'true');
    const client = this.host.getServiceClient('Watch') as unknown as { watch(metadata: Metadata): WatchStream };
    return client.watch(metadata);
  }

  /** The seconds that the lease has from now on; 0 or less when there is no such lease. */
  async keepAlive(leaseId: string): Promise<number> {
    const metadata = await this.authenticated();
    const client = this.host.getServiceClient('Lease') as unknown as {
      leaseKeepAlive(metadata: Metadata): KeepAliveStream;
    };
    const stream = client.leaseKeepAlive(metadata);
    let timer: NodeJS.Timeout | undefined;
    return new Promise<number>((resolve, reject) => {
      const fail = (error: Error): void => reject(castGrpcError(error));
      const late = (): void =>
        fail(new GRPCDeadlineExceededError(`No answer to a keep-alive within ${CALL_TIMEOUT_MS} ms`));
      timer = setTimeout(late, CALL_TIMEOUT_MS);
      stream.on('data', (response: ILeaseKeepAliveResponse) => resolve(Number(response.TTL)));
      // Also after cancel(): an error event without a listener would end the process.
      stream.on('error', fail);
      stream.on('end', () => fail(new GRPCDeadlineExceededError('Etcd ended the keep-alive stream without an answer')));
      stream.write({ ID: leaseId } as Parameters<KeepAliveStream['write']>[0]);
    }).finally(() => {
      clearTimeout(timer);
      stream.cancel();
    });
  }

  close(): void {
    this.host.close();
  }

  /** A token is valid as long as its channel: on "invalid auth token" another channel is opened. */
  private authenticated(): Promise<Metadata> {
    this.metadata ??= this.authenticate().catch((error: unknown) => {
      this.metadata = undefined;
      throw error;
    });
    return this.metadata;
  }

  private async authenticate(): Promise<Metadata> {
    const metadata = new Metadata();
    const { username, password = '' } = this.settings;
    if (username === undefined) return metadata;
    const payload = { name: username, password };
    const answer = await call<IAuthenticateResponse>(this.host, 'Auth', 'authenticate', payload, metadata);
    metadata.set('token', answer.token);
    return metadata;
  }
}

/** With these options checkServerIdentity() is asked about this name, and ours answers for the real address. */
const NO_NAME: ChannelOptions = { 'grpc.ssl_target_name_override': 'etcd' };

function tlsCredentials({ caFile, keyFile, certFile }: ChannelSettings, name: string): ChannelCredentials {
  const read = (file: string | undefined) => (file === undefined ? null : readFileSync(file));
  return credentials.createSsl(read(caFile), read(keyFile), read(certFile), {
    checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate),
  });
}

type Call = (
  payload: unknown,
  metadata: Metadata,
  options: object,
  done: (error: Error | null, answer: unknown) => void,
) => void;

function call<T>(host: Host, service: Service, method: string, payload: unknown, metadata: Metadata): Promise<T> {
  return new Promise((resolve, reject) => {
    const client = host.getServiceClient(service) as unknown as Record<string, Call>;
    client[method]!(payload, metadata, { deadline: Date.now() + CALL_TIMEOUT_MS }, (error, answer) =>
      error ? reject(castGrpcError(error)) : resolve(answer as T),
    );
  });
}
