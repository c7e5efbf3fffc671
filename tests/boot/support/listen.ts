/** HTTP servers of the test's own process, at addresses inside other network namespaces. */
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { parseIp } from '@flannel-ts/inet/ip';
import { withNetns } from '@flannel-ts/linux/netns';
import { AF_INET, bind, SOCK_STREAM, setSocketOption, sockaddrIn, socket } from '@flannel-ts/linux/socket';

const SOL_SOCKET = 1; // asm-generic/socket.h
const SO_REUSEADDR = 2;

/** The address must be one of the namespace's. The socket stays there, whatever this process does. */
export async function listenIn(netns: string, address: string, port: number, answer: RequestListener): Promise<Server> {
  const fd = withNetns(netns, () => {
    const created = socket(AF_INET, SOCK_STREAM);
    setSocketOption(created, SOL_SOCKET, SO_REUSEADDR, 1);
    bind(created, sockaddrIn(parseIp(address, 4), port));
    return created;
  });
  const server = createServer(answer);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ fd }, resolve);
  });
  return server;
}

export async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}

export async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
