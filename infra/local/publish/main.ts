/**
 * `node publish.cjs PLAN`: forwards what comes to the socket that it was given as descriptor 3. That socket is of this machine's network,
 * the process is in the network of one of the stack's machines: so are the connections it makes.
 */
import { Resolver } from 'node:dns/promises';
import { forwardTcp, forwardUdp } from './forward.ts';
import { type Endpoint, type ForwardTarget, parseEndpoint, readPlan } from './plan.ts';

const SOCKET = 3;

async function endpointsOf(target: ForwardTarget): Promise<Endpoint[]> {
  if ('endpoints' in target) return target.endpoints.map(parseEndpoint);
  const resolver = new Resolver({ timeout: 1000, tries: 3 });
  resolver.setServers([target.dns]);
  return (await resolver.resolve4(target.name)).map((host) => ({ host, port: target.port }));
}

function main(): void {
  const path = process.argv[2];
  if (path === undefined) {
    process.stderr.write('Usage: publish PLAN\n');
    process.exitCode = 2;
    return;
  }
  process.on('SIGHUP', () => {}); // the terminal of whoever ran the command closes
  const endpoints = () => endpointsOf(readPlan(path).target);
  const complain = (message: string) => process.stderr.write(`${new Date().toISOString()} ${message}\n`);
  const forward = readPlan(path).protocol === 'udp' ? forwardUdp : forwardTcp;
  forward(SOCKET, endpoints, complain);
}

main();
