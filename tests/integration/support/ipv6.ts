/** Pods' addresses of IPv6 on the nodes of a cluster, and traffic between them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { type Node, until } from './cluster.ts';

/** The node's IPv6 subnet as in subnet.env: its first address and the length. */
export function ipv6Subnet(node: Node): string {
  return /FLANNEL_IPV6_SUBNET=(.*)/.exec(readFileSync(node.subnetFile, 'utf8'))![1]!;
}

/** The first address of each subnet on the bridge of pods. */
export function addPod(node: Node): void {
  node.ip('link', 'add', 'cni0', 'type', 'bridge');
  node.ip('link', 'set', 'cni0', 'up');
  for (const subnet of [node.subnet, ipv6Subnet(node)]) {
    if (subnet !== '') node.ip('address', 'add', subnet, 'dev', 'cni0', ...(subnet.includes(':') ? ['nodad'] : []));
  }
}

export const podAddress6 = (node: Node): string => ipv6Subnet(node).split('/')[0]!;

/** What ping says, also when there is no answer. */
export function ping6(from: Node, to: string, ...flags: string[]): string {
  const command = ['ping', '-6', '-n', '-c', '1', '-W', '2', '-I', podAddress6(from), ...flags, to];
  return from.run('sh', '-c', '"$@" 2>&1 || true', 'sh', ...command);
}

export const canPing6 = (from: Node, to: Node): boolean => ping6(from, podAddress6(to)).includes('1 received');

export const untilPing6 = (a: Node, b: Node): Promise<void> => until(() => canPing6(a, b) && canPing6(b, a));

const SERVER = `
  const hash = require('crypto').createHash('sha256');
  require('net').createServer((socket) => {
    socket.on('data', (data) => hash.update(data));
    socket.on('end', () => { console.log(hash.digest('hex')); process.exit(); });
  }).listen(9000, process.argv[1], () => console.log('listening'));
`;
const CLIENT = `
  const bytes = require('crypto').randomBytes(10_000_000);
  console.log(require('crypto').createHash('sha256').update(bytes).digest('hex'));
  require('net').connect({ host: process.argv[2], port: 9000, localAddress: process.argv[1] }).end(bytes).resume();
`;

/** They end by themselves, unless a test fails. */
const children = new Set<ChildProcess>();

export function endStreams(): void {
  for (const child of children) child.kill('SIGKILL');
  children.clear();
}

/** SHA-256 of ten megabytes that went by TCP between addresses of two nodes, at both ends. */
export async function tcpStream(
  [from, source]: readonly [Node, string],
  [to, target]: readonly [Node, string],
): Promise<{ readonly sent: string; readonly arrived: string }> {
  const server = linesOf(to, SERVER, target);
  await server.next(); // it listens
  const client = linesOf(from, CLIENT, source, target);
  return { arrived: (await server.next()).value, sent: (await client.next()).value };
}

function linesOf(node: Node, source: string, ...args: string[]): AsyncIterator<string> {
  const command = [`--net=/run/netns/${node.netns}`, process.execPath, '-e', source, ...args];
  const child = spawn('nsenter', command, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.add(child);
  return createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
}
