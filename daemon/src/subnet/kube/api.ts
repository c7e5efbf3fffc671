/**
 * The few requests to the API server that a subnet manager needs. Not @kubernetes/client-node: see docs/decisions/kubernetes-client.md.
 * A request is given up when nothing comes; a watch is supervised in watch.ts.
 */
import http from 'node:http';
import https from 'node:https';
import { Bell } from '../../abort.ts';
import { DaemonError, messageOf } from '../../errors.ts';
import { monotonicNow } from '../clock.ts';
import type { Access, TlsMaterial } from './access.ts';

/** The API server has answered, and refused. */
export class RefusedError extends DaemonError {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super('KUBERNETES', message);
  }
}

interface Answer {
  readonly status: number;
  readonly response: http.IncomingMessage;
}

const REQUEST_MS = 10_000;
const MOST_OF_AN_ERROR = 300;

export class ApiClient {
  private agent: http.Agent | undefined;
  private agentKey = '';
  private readonly running = new Set<http.ClientRequest>();
  private answeredAt: number | undefined;
  private readonly startedAt = monotonicNow();

  constructor(
    private readonly access: Access,
    private readonly requestMs = REQUEST_MS,
  ) {}

  get server(): string {
    return this.access.server.origin;
  }

  get answered(): boolean {
    return this.answeredAt !== undefined;
  }

  /** Milliseconds since the server last said anything; since the start if it never did. */
  get silentMs(): number {
    return monotonicNow() - (this.answeredAt ?? this.startedAt);
  }

  heard(): void {
    this.answeredAt = monotonicNow();
  }

  async get<T>(path: string, signal: AbortSignal): Promise<T> {
    const { status, response } = await this.request('GET', path, {}, undefined, signal);
    return readJson<T>(status, response, path, this.requestMs);
  }

  /** A strategic merge patch, as flannel's: conditions are merged by their type. */
  async patch<T>(path: string, body: object, signal: AbortSignal): Promise<T> {
    const headers = { 'content-type': 'application/strategic-merge-patch+json' };
    const { status, response } = await this.request('PATCH', path, headers, JSON.stringify(body), signal);
    return readJson<T>(status, response, path, this.requestMs);
  }

  /** Lines as they come. */
  async watch(path: string, signal: AbortSignal): Promise<LineStream> {
    const { status, response } = await this.request('GET', path, {}, undefined, signal);
    if (status !== 200) await readJson(status, response, path, this.requestMs); // throws
    return new LineStream(response);
  }

  /** Ends everything that runs: this node has another address, and answers to the former one never come. */
  reconnect(): void {
    this.agent?.destroy();
    this.agent = undefined;
    for (const request of this.running) request.destroy(new Error('this node has another address'));
  }

  close(): void {
    this.reconnect();
  }

  private async request(
    method: string,
    path: string,
    headers: http.OutgoingHttpHeaders,
    body: string | undefined,
    signal: AbortSignal,
  ): Promise<Answer> {
    const { server } = this.access;
    const tls = this.access.tls();
    const authorization = this.access.authorization();
    const options: https.RequestOptions = {
      method,
      host: server.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: server.port || (server.protocol === 'https:' ? 443 : 80),
      path: server.pathname.replace(/\/$/, '') + path,
      headers: {
        accept: 'application/json',
        'user-agent': 'flanneld',
        ...(authorization !== undefined && { authorization }),
        ...(body !== undefined && { 'content-length': Buffer.byteLength(body) }),
        ...headers,
      },
      agent: this.agentFor(tls),
      ...tls,
    };
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const request = (server.protocol === 'https:' ? https : http).request(options);
      const fail = (error: unknown): void => {
        done();
        reject(new DaemonError('KUBERNETES', `The API server ${this.server} does not answer: ${messageOf(error)}`));
      };
      const timer = setTimeout(() => {
        request.destroy(new Error(`no answer within ${this.requestMs} ms`));
      }, this.requestMs);
      const stop = (): void => void request.destroy(new Error('stopped'));
      const done = (): void => clearTimeout(timer);
      this.running.add(request);
      signal.addEventListener('abort', stop, { once: true });
      request.once('close', () => {
        this.running.delete(request);
        signal.removeEventListener('abort', stop);
      });
      request.on('error', fail); // also later ones, which the reader of the body is told as well
      request.once('response', (response) => {
        done();
        this.heard();
        resolve({ status: response.statusCode ?? 0, response });
      });
      request.end(body);
    });
  }

  /** Connections with former certificates are not used again. */
  private agentFor(tls: TlsMaterial): http.Agent {
    const key = JSON.stringify(tls);
    if (this.agent === undefined || key !== this.agentKey) {
      this.agent?.destroy();
      const options = { keepAlive: true, keepAliveMsecs: 10_000, maxFreeSockets: 1 };
      this.agent = this.access.server.protocol === 'https:' ? new https.Agent(options) : new http.Agent(options);
      this.agentKey = key;
    }
    return this.agent;
  }
}

async function readJson<T>(status: number, response: http.IncomingMessage, path: string, limitMs: number): Promise<T> {
  const text = await readAll(response, limitMs);
  if (status < 200 || status > 299) throw new RefusedError(status, refusal(status, text, path));
  try {
    return JSON.parse(text) as T;
  } catch {
    throw new DaemonError('KUBERNETES', `The API server answered ${path} with something that is no JSON`);
  }
}

/** The message of the API's Status object. */
function refusal(status: number, text: string, path: string): string {
  let message = text;
  try {
    message = String((JSON.parse(text) as { message?: unknown }).message ?? text);
  } catch {}
  return `The API server refused ${path.split('?')[0]} with ${status}: ${message.slice(0, MOST_OF_AN_ERROR)}`;
}

/** Waits as long as something comes. */
function readAll(response: http.IncomingMessage, limitMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const fail = (reason: string): void => {
      clearTimeout(timer);
      reject(new DaemonError('KUBERNETES', `The answer of the API server broke off: ${reason}`));
    };
    const late = (): void => {
      fail(`nothing came for ${limitMs} ms`);
      response.destroy();
    };
    let timer = setTimeout(late, limitMs);
    response.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      clearTimeout(timer);
      timer = setTimeout(late, limitMs);
    });
    response.once('end', () => {
      clearTimeout(timer);
      resolve(Buffer.concat(chunks).toString('utf8'));
    });
    response.on('error', (error) => fail(messageOf(error)));
    response.once('close', () => fail('the connection ended'));
  });
}

/** From a response's chunks to lines that a loop can wait for. */
export class LineStream {
  private lines: string[] = [];
  private rest: Buffer[] = [];
  private ended: string | undefined;
  private readonly bell = new Bell();

  constructor(private readonly response: http.IncomingMessage) {
    response.on('data', (chunk: Buffer) => this.accept(chunk));
    response.on('error', (error) => this.end(messageOf(error)));
    response.once('end', () => this.end(''));
    response.once('close', () => this.end('the connection ended'));
  }

  /** What came since the last take; undefined when the server has ended the stream properly. Throws when it broke. */
  take(): readonly string[] | undefined {
    const taken = this.lines;
    this.lines = [];
    if (taken.length > 0 || this.ended === undefined) return taken;
    if (this.ended === '') return undefined;
    throw new DaemonError('KUBERNETES', `The watch broke: ${this.ended}`);
  }

  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (this.lines.length === 0 && this.ended === undefined) await this.bell.wait(ms, signal);
  }

  close(): void {
    this.response.destroy();
  }

  /** A line may come in many chunks, and is put together once. */
  private accept(chunk: Buffer): void {
    let from = 0;
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, from)) {
      const line = Buffer.concat([...this.rest, chunk.subarray(from, at)]).toString('utf8');
      this.rest = [];
      if (line !== '') this.lines.push(line);
      from = at + 1;
    }
    if (from < chunk.length) this.rest.push(Buffer.from(chunk.subarray(from)));
    if (this.lines.length > 0) this.bell.ring();
  }

  private end(reason: string): void {
    this.ended ??= reason;
    this.bell.ring();
  }
}
