// Bytes over TCP, with the SHA-256 of what was sent or arrived: "send HOST PORT BYTES FROM" or "receive HOST PORT". Prints JSON.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

const BLOCK = 1 << 20;
const [role, host, port, bytes, localAddress] = process.argv.slice(2);
const hash = createHash('sha256');
let total = 0;

/** @param {Buffer} data */
const take = (data) => {
  hash.update(data);
  total += data.length;
};

if (role === 'send') {
  const socket = connect({ host, port: Number(port), localAddress });
  const random = randomBytes(BLOCK);
  await once(socket, 'connect');
  for (let block = 0; total < Number(bytes); block++) {
    const data = Buffer.from(random.subarray(0, Math.min(BLOCK, Number(bytes) - total)));
    // No two stretches of a packet's length are the same: one in another's place would show.
    for (let at = 0; at + 8 <= data.length; at += 256) data.writeBigUInt64LE(BigInt(block * BLOCK + at), at);
    take(data);
    if (!socket.write(data)) await once(socket, 'drain');
  }
  socket.end();
  socket.resume();
  await once(socket, 'close');
} else {
  const server = createServer().listen(Number(port), host);
  await once(server, 'listening');
  process.stdout.write('listening\n');
  const [socket] = await once(server, 'connection');
  for await (const data of socket) take(data);
  server.close();
}
process.stdout.write(`${JSON.stringify({ bytes: total, sha256: hash.digest('hex') })}\n`);
