/** A real etcd in a namespace, and its JSON gateway over a Unix socket, which is reached from every namespace. */

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DEFAULT_ETCD_PREFIX, ETCD_CLIENT_PORT } from '@flannel-ts/flannel/defaults';
import { startIn } from '../dataplane/processes.ts';

export const PREFIX = DEFAULT_ETCD_PREFIX;
/** etcd's own limit for one transaction (--max-txn-ops). */
const MAX_OPERATIONS = 128;
/** etcd makes it in its working directory, and wants something like a port. */
const SOCKET = 'etcd.sock:0';
const START_WITHIN_MS = 30_000;

export interface Entry {
  readonly key: string;
  readonly value: string;
}

export class Etcd {
  private child: ChildProcess | undefined;

  constructor(
    private readonly netns: string,
    readonly address: string,
    private readonly directory: string,
  ) {}

  get endpoint(): string {
    return `http://${this.address}:${ETCD_CLIENT_PORT}`;
  }

  private get socketPath(): string {
    return join(this.directory, SOCKET);
  }

  async start(): Promise<void> {
    const peer = 'http://127.0.0.1:2380';
    const args = [
      ...['--name=control', `--data-dir=${join(this.directory, 'etcd')}`, '--logger=zap', '--log-level=error'],
      ...[`--listen-client-urls=${this.endpoint},unix://${SOCKET}`, `--advertise-client-urls=${this.endpoint}`],
      ...[`--listen-peer-urls=${peer}`, `--initial-advertise-peer-urls=${peer}`, `--initial-cluster=control=${peer}`],
      '--unsafe-no-fsync',
    ];
    rmSync(this.socketPath, { force: true }); // of one that was killed
    this.child = startIn({ netns: this.netns }, ['etcd', ...args], { stdio: 'ignore', cwd: this.directory });
    const deadline = Date.now() + START_WITHIN_MS;
    for (;;) {
      try {
        await this.call('kv/range', { key: encode('none') });
        return;
      } catch (error) {
        if (Date.now() > deadline)
          throw new Error(`etcd does not answer after ${START_WITHIN_MS} ms`, { cause: error });
        await sleep(20);
      }
    }
  }

  /** SIGKILL: an outage. start() brings it back with its data. */
  async stop(): Promise<void> {
    const { child } = this;
    this.child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  async put(entries: readonly Entry[]): Promise<void> {
    for (let from = 0; from < entries.length; from += MAX_OPERATIONS) {
      const success = entries.slice(from, from + MAX_OPERATIONS).map(({ key, value }) => ({
        requestPut: { key: encode(key), value: encode(value) },
      }));
      await this.call('kv/txn', { success });
    }
  }

  /** Keys below a prefix and their values. */
  async list(prefix: string): Promise<readonly Entry[]> {
    const end = `${prefix.slice(0, -1)}${String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1)}`;
    const { kvs = [] } = (await this.call('kv/range', { key: encode(prefix), range_end: encode(end) })) as {
      kvs?: readonly Entry[];
    };
    return kvs.map(({ key, value }) => ({ key: decode(key), value: decode(value) }));
  }

  private call(method: string, body: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath: this.socketPath, path: `/v3/${method}`, method: 'POST' }, (answer) => {
        let text = '';
        answer.on('data', (chunk) => {
          text += chunk;
        });
        answer.on('end', () => {
          if (answer.statusCode === 200) resolve(JSON.parse(text));
          else reject(new Error(`etcd answers ${method} with ${answer.statusCode}: ${text}`));
        });
      });
      asked.on('error', reject);
      asked.end(JSON.stringify(body));
    });
  }
}

function encode(text: string): string {
  return Buffer.from(text).toString('base64');
}

function decode(text: string): string {
  return Buffer.from(text, 'base64').toString();
}
