/** Processes of nodes, for what only the kernel's own sockets can show. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Node } from '../lab.ts';

const SERVER = `
  const hash = require('crypto').createHash('sha256');
  require('net').createServer((socket) => {
    socket.on('data', (data) => hash.update(data));
    socket.on('end', () => { console.log(hash.digest('hex')); process.exit(); });
  }).listen(9000, process.argv[1], () => console.log('listening'));
`;
const CLIENT = `
  const bytes = require('crypto').createHash('shake256', { outputLength: +process.argv[4] }).update(process.argv[3]).digest();
  console.log(require('crypto').createHash('sha256').update(bytes).digest('hex'));
  require('net').connect({ host: process.argv[2], port: 9000, localAddress: process.argv[1] }).end(bytes).resume();
`;

/** TCP between pods of two nodes: hashes of what was sent and of what came. */
export async function transfer(from: Node, to: Node, size: number): Promise<{ sent: string; received: string }> {
  const lines = linesOf(script(to, SERVER, to.podText));
  expect((await lines.next()).value).toBe('listening');
  const client = script(from, CLIENT, from.podText, to.podText, randomBytes(8).toString('hex'), String(size));
  const sent = await linesOf(client).next();
  const received = await lines.next();
  return { sent: sent.value as string, received: received.value as string };
}

/** Those that run: a test that fails or times out ends them too. */
const children = new Set<ChildProcess>();

export async function endChildren(): Promise<void> {
  for (const child of children) {
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }
}

/** JavaScript in a process of its own, in a node's namespace. */
export function script(node: Node, source: string, ...args: string[]): ChildProcess {
  const command = [`--net=${node.netns}`, process.execPath, '-e', source, ...args];
  const child = spawn('nsenter', command, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

async function* linesOf(child: ChildProcess): AsyncGenerator<string> {
  let rest = '';
  for await (const data of child.stdout!) {
    const lines = (rest + data).split('\n');
    rest = lines.pop()!;
    yield* lines;
  }
}
