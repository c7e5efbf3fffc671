import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { existsSync, readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { alive, Lab, loadHost, type Resource, until } from './local-host-lab.ts';

jest.setTimeout(120_000);
const lab = new Lab(loadHost(), `fltest-p${process.pid}`);
const ADDRESS = '10.64.0.16';
const resources: Resource[] = [];
let service: ChildProcess | undefined;

/** In the machine: says how many bytes it got when that is all, and echoes datagrams. Each port says its name, too. */
const SERVICE = `
  for (const port of [7001, 7002]) {
    require('net').createServer({ allowHalfOpen: true }, (socket) => {
      let size = 0;
      socket.on('error', () => {});
      socket.on('data', (data) => { size += data.length; });
      socket.on('end', () => socket.end(port + ' got ' + size));
    }).listen(port);
    const udp = require('dgram').createSocket('udp4');
    udp.on('message', (data, { port: to, address }) => udp.send(port + ' ' + data, to, address));
    udp.bind(port, () => console.log('ready'));
  }
`;

beforeAll(async () => {
  await lab.vpc({ backend: { Type: 'udp' } });
  await lab.machine('node-0', ADDRESS);
  service = spawn('nsenter', [`--net=${lab.netns('node-0')}`, process.execPath, '-e', SERVICE], { stdio: 'pipe' });
  let said = '';
  service.stdout!.on('data', (data) => {
    said += data;
  });
  await until(() => said.match(/ready/g)?.length === 2);
});

afterAll(async () => {
  service?.kill('SIGKILL');
  await lab.clean();
});

function planOf(protocol: 'tcp' | 'udp', ...ports: number[]) {
  return { plan: { protocol, target: { endpoints: ports.map((port) => `${ADDRESS}:${port}`) } } };
}

async function publish(name: string, inputs: Record<string, unknown>): Promise<Resource> {
  const common = { name, machine: 'node-0', host: 'host', address: '127.0.0.1', port: 0 };
  const resource = lab.resource('published', { ...common, ...inputs });
  resources.push(resource);
  return resource.create();
}

const portOf = (resource: Resource) => resource.outs.listensOn as number;
const fileOf = (name: string, suffix: string) => `/var/lib/flannel-local/${lab.stack}/published/${name}.${suffix}`;
const pidOf = (name: string) => (JSON.parse(readFileSync(fileOf(name, 'process.json'), 'utf8')) as { pid: number }).pid;

function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => resolve(socket));
    socket.once('error', reject);
  });
}

/** Sends, says that this is all, and gives the answer. */
function finish(socket: Socket, data: string | Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    socket.on('data', (text) => {
      answer += text;
    });
    socket.on('end', () => resolve(answer));
    socket.on('error', reject);
    socket.end(data);
  });
}

const ask = async (port: number, data: string | Buffer) => finish(await open(port), data);

/** Asks again until there is an answer: datagrams may be lost. */
async function askUdp(port: number, text: string): Promise<string> {
  const socket = createSocket('udp4');
  let answer = '';
  socket.on('message', (data) => {
    answer = String(data);
  });
  socket.on('error', () => {});
  try {
    await until(async () => {
      socket.send(text, port, '127.0.0.1');
      await new Promise((resolve) => setTimeout(resolve, 50));
      return answer;
    });
    return answer;
  } finally {
    socket.close();
  }
}

test('a published port carries streams, each end of which closes by itself, to the first target that answers', async () => {
  const stream = await publish('stream', planOf('tcp', 7999, 7001));
  expect(portOf(stream)).toBeGreaterThan(0);
  expect(await ask(portOf(stream), Buffer.alloc(3_000_000))).toBe('7001 got 3000000');
  expect(await Promise.all([1, 2, 3].map((i) => ask(portOf(stream), 'x'.repeat(i))))).toEqual([
    ...['7001 got 1', '7001 got 2', '7001 got 3'],
  ]);
  expect(await stream.refresh()).toBe('');
});

test('a connection to what nobody serves is reset, and the port goes on', async () => {
  const nobody = await publish('nobody', planOf('tcp', 7999));
  await expect(ask(portOf(nobody), 'x')).rejects.toThrow(/ECONNRESET|EPIPE/);
  await nobody.update(planOf('tcp', 7002));
  expect(await ask(portOf(nobody), 'xy')).toBe('7002 got 2');
});

test('a published port carries datagrams, and the answers to whoever has asked', async () => {
  const datagrams = await publish('datagrams', planOf('udp', 7001));
  const asked = ['a', 'b', 'c'].map((text) => askUdp(portOf(datagrams), text));
  expect(await Promise.all(asked)).toEqual(['7001 a', '7001 b', '7001 c']);
});

test('another target is for new connections, those that are open go on', async () => {
  const moved = await publish('moved', planOf('tcp', 7001));
  const before = pidOf('moved');
  const kept = await open(portOf(moved));
  // Begun in the machine, too: its first bytes have arrived.
  await new Promise((resolve) => kept.write('first', resolve));
  expect(await ask(portOf(moved), '')).toBe('7001 got 0');
  await moved.update(planOf('tcp', 7002));
  expect(await ask(portOf(moved), 'x')).toBe('7002 got 1');
  expect(await finish(kept, 'second')).toBe('7001 got 11');
  expect(pidOf('moved')).toBe(before);
});

test('a port that another program has is refused by its name, and one that was free stays the same', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await until(() => taken.listening);
  const { port } = taken.address() as AddressInfo;
  await expect(publish('taken', { ...planOf('tcp', 7001), port })).rejects.toThrow(
    `Port ${port} of 127.0.0.1 cannot be published: another program has it; publish another`,
  );
  await new Promise((resolve) => taken.close(resolve));

  const free = await publish('free', planOf('tcp', 7001));
  const brokenAndHealed = async () => {
    const listensOn = portOf(free);
    const pid = pidOf('free');
    process.kill(pid, 'SIGKILL');
    await until(() => !alive(pid));
    expect(await free.refresh()).toBe(`Port ${listensOn} of 127.0.0.1 is not published`);
    expect(await free.update()).toBe(true);
    expect(await ask(portOf(free), 'x')).toBe('7001 got 1');
    return portOf(free) === listensOn; // unless a connection of somebody else has got it meanwhile
  };
  await until(brokenAndHealed);
});

test('a port that is given up is free again, and nothing is left of it', async () => {
  const pids = ['stream', 'nobody', 'datagrams', 'moved', 'free'].map(pidOf);
  const ports = resources.map(portOf);
  for (const resource of resources) await resource.delete();
  expect(pids.filter(alive)).toEqual([]);
  await expect(open(ports[0]!)).rejects.toThrow('ECONNREFUSED');
  expect(existsSync(`/var/lib/flannel-local/${lab.stack}/published`)).toBe(false);
});

test('what a lost state has published is found and ended by the name of the stack', async () => {
  await publish('lost', planOf('tcp', 7001));
  const pid = pidOf('lost');
  expect(lab.host.listLeftovers(lab.stack).join('\n')).toContain(`process ${pid} `);
  await lab.host.sweep(lab.stack);
  expect(alive(pid)).toBe(false);
});
