/** The sockets that an engine sends from beside the one that receives: see source-port.ts. */
import type { Ip } from '@flannel-ts/inet/ip';
import { closeFd, type Fd } from '@flannel-ts/linux/files';
import { getSockName, ipOfSockaddr } from '@flannel-ts/linux/socket';
import { messageOf } from '../../../errors.ts';
import { delegate } from './delegate.ts';
import type { StartEngine } from './engine.ts';
import { EngineError } from './errors.ts';
import { openSourceSocket } from './socket.ts';

/**
 * The same engine with `ports` source ports: that of the caller's socket, and others that are opened and closed here. It has fewer
 * where the kernel refuses one, and `warn` is told: they are no condition for packets to flow.
 */
export function withSourcePorts(start: StartEngine, ports: number, warn: (text: string) => void): StartEngine {
  if (ports === 1) return start;
  return async (config, signal) => {
    const opened = openSources(ipOfSockaddr(getSockName(config.socketFd)), ports - 1, warn);
    const close = (): void => {
      for (const fd of opened.splice(0)) closeFd(fd);
    };
    try {
      const engine = await start({ ...config, sourceFds: [...opened] }, signal);
      return delegate(engine, {
        stop: async () => {
          await engine.stop();
          close();
        },
      });
    } catch (error) {
      // A thread that does not end may still send from them.
      if (!(error instanceof EngineError && error.code === 'UNSTOPPABLE')) close();
      throw error;
    }
  };
}

function openSources(listen: Ip, count: number, warn: (text: string) => void): Fd[] {
  const opened: Fd[] = [];
  try {
    while (opened.length < count) opened.push(openSourceSocket(listen));
  } catch (error) {
    warn(`The engine sends from ${opened.length + 1} ports instead of ${count + 1}: ${messageOf(error)}`);
  }
  return opened;
}
