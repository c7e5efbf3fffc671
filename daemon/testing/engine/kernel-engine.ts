/** The data path in the kernel beside the fast engine, as one engine of the compliance suite: in the namespace of the device that it is given. */
import { closeFd, ioctl } from '@flannel-ts/linux/files';
import { withNetns } from '@flannel-ts/linux/netns';
import { getSockName, ipOfSockaddr } from '@flannel-ts/linux/socket';
import { writeSysctl } from '@flannel-ts/linux/sysctl';
import { listAddresses } from '@flannel-ts/rtnetlink/address';
import { type Netlink, openNetlink } from '@flannel-ts/rtnetlink/connection';
import { getLink } from '@flannel-ts/rtnetlink/link';
import { TUNGETIFF } from 'tun-tap/constants';
import { addCounters } from '../../src/datapath/ebpf/counters.ts';
import { KernelPath, type KernelPathSettings } from '../../src/datapath/ebpf/kernel-path.ts';
import { delegate } from '../../src/datapath/tun/engine/delegate.ts';
import type { EngineConfig, EngineCounters, EngineRoute, StartEngine } from '../../src/datapath/tun/engine/engine.ts';
import { startFastEngine } from '../../src/datapath/tun/engine/fast/engine.ts';

const TUNGETDEVNETNS = 0x54e3; // linux/if_tun.h

/** `onStart` is given the part in the kernel. */
export function kernelEngine(
  settings: Partial<KernelPathSettings> = {},
  onStart: (kernel: KernelPath) => void = () => {},
): StartEngine {
  return async (config, signal) => {
    const engine = await startFastEngine({ ...config, mergeReceived: false }, signal);
    let opened: { readonly nl: Netlink; readonly kernel: KernelPath };
    let inside: ReturnType<typeof insideOf>;
    try {
      inside = insideOf(config);
      opened = inside.run(() => attach(config, settings));
    } catch (error) {
      await engine.stop();
      throw error;
    }
    const { nl, kernel } = opened;
    onStart(kernel);
    let routes: readonly EngineRoute[] = [];
    let stopped: Promise<void> | undefined;
    let last: EngineCounters | undefined;
    const counters = (): EngineCounters =>
      last ?? (addCounters(engine.counters(), kernel.counters()) as EngineCounters);
    return delegate(engine, {
      setRoutes: (next) => {
        engine.setRoutes(next);
        if (stopped !== undefined) return;
        const removed = routes.map(({ subnet }) => subnet);
        routes = next;
        kernel.setPeers({ set: next, removed });
      },
      changeRoutes: (change) => {
        engine.changeRoutes(change);
        kernel.setPeers(change);
      },
      setPathLimit: (peer, limit) => {
        engine.setPathLimit(peer, limit);
        kernel.setPathLimit(peer, limit);
      },
      counters,
      stop: () => {
        stopped ??= (async () => {
          last = counters();
          inside.run(() => {
            kernel.remove();
            return {};
          });
          nl.close();
          inside.close();
          await engine.stop();
        })();
        return stopped;
      },
    });
  };
}

function attach(config: EngineConfig, settings: Partial<KernelPathSettings>) {
  const { socketFd, tunFd, tunAddress, tunAddress6, mtu, port, filterPeers } = config;
  const nl = openNetlink();
  const listen = ipOfSockaddr(getSockName(socketFd));
  const ifreq = new Uint8Array(40);
  ioctl(tunFd, TUNGETIFF, ifreq);
  const device = Buffer.from(ifreq.subarray(0, ifreq.indexOf(0))).toString();
  // The kernel looks up routes for who forwards only; nodes do.
  const external = listAddresses(nl).find(({ address }) => address.address === listen)!;
  writeSysctl(`net/ipv4/conf/${getLink(nl, external.index)!.name}/forwarding`, 1);
  const overlay = {
    listen,
    port,
    mtu,
    ...(tunAddress !== undefined && { address: tunAddress }),
    ...(tunAddress6 !== undefined && { address6: tunAddress6 }),
  };
  const own = { device, overlay, filterPeers: filterPeers ?? true, sources: { first: port, count: 1 }, merging: true };
  return { nl, kernel: new KernelPath(nl, { ...own, ...settings }, []) };
}

/** `close()` when nothing is to be done there any more. */
function insideOf({ tunFd }: EngineConfig) {
  const netns = ioctl(tunFd, TUNGETDEVNETNS, 0);
  return {
    run: <T extends object>(fn: () => T): T => withNetns(`/proc/self/fd/${netns}`, fn as () => never),
    close: () => closeFd(netns),
  };
}
