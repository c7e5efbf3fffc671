/** Forwards connections and datagrams from a socket that exists already. */
import { createSocket, type Socket as DatagramSocket, type RemoteInfo } from 'node:dgram';
import { connect, createServer, type Socket } from 'node:net';
import type { Endpoint } from './plan.ts';

export type FindEndpoints = () => Promise<readonly Endpoint[]>;
export type Complain = (message: string) => void;

/** A node that is off does not refuse: its silence has to do. */
const CONNECT_MS = 3_000;
/** Longer than a resolver asks for the same name with the same port; what comes later is another conversation. */
const IDLE_MS = 60_000;
/** Each is a socket. */
const MAX_CLIENTS = 1024;
/** Datagrams of one client that wait until its target is known. */
const MAX_WAITING = 32;

/** Each end may close its half, as without somebody in between. */
export function forwardTcp(fd: number, find: FindEndpoints, complain: Complain) {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (client) => {
    client.on('error', () => client.destroy());
    reach(find).then(
      (target) => join(client, target),
      (error: Error) => {
        complain(error.message);
        client.resetAndDestroy(); // as where nobody listens
      },
    );
  });
  return server.listen({ fd });
}

function join(client: Socket, target: Socket): void {
  if (client.destroyed) {
    target.destroy();
    return;
  }
  for (const [from, to] of [
    [client, target],
    [target, client],
  ] as const) {
    from.on('error', () => to.destroy());
    from.on('close', (failed) => failed && to.destroy());
    from.pipe(to);
  }
}

/** The first that answers. */
async function reach(find: FindEndpoints): Promise<Socket> {
  const tried: string[] = [];
  for (const endpoint of await find()) {
    try {
      return await connected(endpoint);
    } catch (error) {
      tried.push(`${endpoint.host}:${endpoint.port}: ${(error as Error).message}`);
    }
  }
  throw new Error(tried.join('; ') || 'there is nothing to forward to');
}

function connected(endpoint: Endpoint): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...endpoint, allowHalfOpen: true, noDelay: true });
    const timer = setTimeout(() => socket.destroy(new Error('no answer')), CONNECT_MS);
    socket.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    socket.once('connect', () => {
      clearTimeout(timer);
      resolve(socket);
    });
  });
}

interface Client {
  send(datagram: Buffer): void;
  close(): void;
}

/** A socket for each client, so that answers find the way back. */
export function forwardUdp(fd: number, find: FindEndpoints, complain: Complain): DatagramSocket {
  const server = createSocket('udp4');
  const clients = new Map<string, Client>();
  server.on('message', (datagram, from) => {
    const key = `${from.address}:${from.port}`;
    const known = clients.get(key);
    const client = known ?? openClient(server, from, find, complain, () => clients.delete(key));
    if (known === undefined) {
      const [oldest] = clients.values();
      if (clients.size >= MAX_CLIENTS) oldest?.close();
      clients.set(key, client);
    }
    client.send(datagram);
  });
  server.on('error', (error) => complain(error.message));
  server.bind({ fd });
  return server;
}

function openClient(
  server: DatagramSocket,
  { address, port }: RemoteInfo,
  find: FindEndpoints,
  complain: Complain,
  ended: () => void,
): Client {
  const socket = createSocket('udp4');
  let waiting: Buffer[] | undefined = [];
  let closed = false;
  const close = () => {
    if (closed) return;
    closed = true;
    clearTimeout(idle);
    socket.close();
    ended();
  };
  const idle = setTimeout(close, IDLE_MS);
  const fail = (error: Error) => {
    if (!closed) complain(error.message);
    close();
  };
  socket.on('error', fail); // like "connection refused": the next datagram asks anew
  socket.on('message', (answer) => {
    idle.refresh();
    server.send(answer, port, address);
  });
  socket.on('connect', () => {
    for (const datagram of waiting ?? []) socket.send(datagram);
    waiting = undefined;
  });
  find().then(([endpoint]) => {
    if (closed) return;
    if (endpoint === undefined) fail(new Error('there is nothing to forward to'));
    else socket.connect(endpoint.port, endpoint.host);
  }, fail);
  return {
    send(datagram) {
      idle.refresh();
      if (waiting === undefined) socket.send(datagram);
      else if (waiting.length < MAX_WAITING) waiting.push(datagram);
    },
    close,
  };
}
