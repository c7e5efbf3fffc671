import type { EngineName } from '@flannel-ts/flannel/backend-config';
import { parseIp } from '@flannel-ts/inet/ip';
import { parsePort } from '@flannel-ts/inet/port';
import { AF_INET, bind, SOCK_DGRAM, sockaddrIn, socket } from '@flannel-ts/linux/socket';
import { open } from 'tun-tap/open';
import { chooseEngine, engineSettings } from '../../src/datapath/tun/engine/choose.ts';

/**
 * A program with an engine and nothing else, for tests of how processes with one end. Run inside a namespace of its own;
 * prints "running", then ends as its first argument says; the second names the engine.
 */
async function main(way: string, engineName: EngineName): Promise<void> {
  const start = chooseEngine(engineSettings({ engine: engineName }, {}), () => {});
  const device = open({ name: 'program0', vnetHeader: true });
  const socketFd = socket(AF_INET, SOCK_DGRAM);
  const address = parseIp('127.0.0.1');
  bind(socketFd, sockaddrIn(address, 8285));
  const engine = await start({
    tunFd: device.fd,
    socketFd,
    tunAddress: parseIp('10.1.0.0'),
    mtu: 1472,
    port: parsePort(8285),
  });
  process.stdout.write('running\n');
  if (way === 'stop') {
    await engine.stop();
  } else if (way === 'exit') {
    process.exit(3);
  } else if (way === 'throw') {
    setTimeout(() => {
      throw new Error('Thrown on purpose');
    }, 1);
  } else if (way === 'reject') {
    void Promise.reject(new Error('Rejected on purpose'));
  }
}

void main(process.argv[2] ?? 'stop', process.argv[3] as EngineName);
