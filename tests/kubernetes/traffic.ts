/** Traffic between two pods while something happens: echo requests, and one TCP connection that lives through it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { REPOSITORY } from '../e2e/support.ts';

const STREAM = join(REPOSITORY, 'tests', 'fixtures', 'stream.mjs');
const PING_EVERY_S = 0.01;
const TCP_PORT = 9377;

export interface Report {
  readonly sent: number;
  readonly lost: number;
  /** Longest time without an answer to anything, in the one TCP connection. */
  readonly gapMs: number;
}

/** `from` and `to`: processes in the networks of the pods. */
export class Traffic {
  private constructor(
    private readonly ping: ChildProcess,
    private readonly server: ChildProcess,
    private readonly client: ChildProcess,
    private readonly said: { readonly ping: Promise<string>; readonly client: Promise<string> },
  ) {}

  static async start(from: number, to: number, address: string): Promise<Traffic> {
    const server = inNetworkOf(to, ['node', STREAM, 'serve', String(TCP_PORT)]);
    await firstLine(server);
    const client = inNetworkOf(from, ['node', STREAM, 'ask', address, String(TCP_PORT)]);
    const ping = inNetworkOf(from, ['ping', '-n', '-i', String(PING_EVERY_S), address]);
    const said = { ping: text(ping.stdout!), client: text(client.stdout!) };
    return new Traffic(ping, server, client, said);
  }

  async stop(): Promise<Report> {
    this.ping.kill('SIGINT');
    this.client.kill('SIGTERM');
    const [ping, client] = await Promise.all([this.said.ping, this.said.client]);
    this.server.kill('SIGKILL');
    const { gapMs, error } = JSON.parse(client) as { gapMs: number; error?: string };
    if (error !== undefined) throw new Error(`The TCP connection ended: ${error}`);
    const answered = new Set([...ping.matchAll(/icmp_seq=(\d+) ttl=/g)].map(([, sequence]) => Number(sequence)));
    // Answers to what was sent after the last one that is answered may be on their way.
    const sent = Math.max(0, ...answered);
    return { sent, lost: sent - answered.size, gapMs: Math.round(gapMs) };
  }
}

function inNetworkOf(pid: number, command: readonly string[]): ChildProcess {
  return spawn('nsenter', [`--target=${pid}`, '--net', '--', ...command], { stdio: ['ignore', 'pipe', 'inherit'] });
}

function firstLine(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.stdout!.once('data', () => resolve());
    child.once('error', reject);
    child.once('close', (code) => reject(new Error(`The server of the TCP connection ended with ${code}`)));
  });
}
