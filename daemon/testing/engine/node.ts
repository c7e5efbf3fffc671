import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { parseIp } from '@flannel-ts/inet/ip';
import { parsePort } from '@flannel-ts/inet/port';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import { open } from 'tun-tap/open';
import type { EngineConfig } from '../../src/datapath/tun/engine/engine.ts';
import { startFastEngine } from '../../src/datapath/tun/engine/fast/engine.ts';
import { startReferenceEngine } from '../../src/datapath/tun/engine/reference/engine.ts';
import { openEngineSocket } from '../../src/datapath/tun/engine/socket.ts';
import { withSourcePorts } from '../../src/datapath/tun/engine/sources.ts';
import { kernelEngine } from './kernel-engine.ts';

const ENGINES = { ebpf: kernelEngine(), fast: startFastEngine, reference: startReferenceEngine };

type Settings = Partial<EngineConfig> & { readonly sourcePorts?: number };

/**
 * A node without control side, for measurements: one engine between a TUN device and a socket as flanneld opens them. Prints
 * "running"; after that a line of counters (JSON) for each line read; ends at the end of its input.
 *
 * Arguments: engine, own address, device address, MTU, then SUBNET=PEER for each route. ENGINE_SETTINGS may hold further
 * properties of the engine's configuration, as JSON, and `sourcePorts`.
 */
async function main([engineName, own, device, mtu, ...routes]: readonly string[]): Promise<void> {
  const tun = open({ name: 'flannel0', vnetHeader: true });
  const port = parsePort(8285);
  const socketFd = openEngineSocket(parseIp(own!), port);
  const { sourcePorts = 1, ...settings } = JSON.parse(process.env.ENGINE_SETTINGS ?? '{}') as Settings;
  const start = withSourcePorts(ENGINES[engineName as keyof typeof ENGINES], sourcePorts, (text) => {
    process.stderr.write(`${text}\n`);
  });
  const tunAddress = parseIp(device!, 4);
  const engine = await start({ tunFd: tun.fd, socketFd, tunAddress, mtu: Number(mtu), port, ...settings });
  engine.setRoutes(
    routes.map((text) => {
      const [subnet, peer] = text.split('=') as [string, string];
      return { subnet: parsePrefix(subnet), peer: parseIp(peer) };
    }),
  );
  void engine.failed.then((error) => {
    throw error;
  });
  process.stdout.write('running\n');
  const lines = createInterface({ input: process.stdin });
  lines.on('line', () => {
    const { peers, ...counters } = engine.counters();
    process.stdout.write(`${JSON.stringify({ ...counters, peers: peers.size })}\n`);
  });
  await once(lines, 'close');
  await engine.stop();
}

void main(process.argv.slice(2));
