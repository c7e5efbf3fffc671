/** The data path in user space: a TUN device, a UDP socket and an engine between them. */
import type { EngineChoice } from '@flannel-ts/flannel/backend-config';
import type { Logger } from 'pino';
import { adopt, type Device, open } from 'tun-tap/open';
import { messageOf } from '../../errors.ts';
import type { CarriedOverlay, DataPath, DescriptorStore, StartDataPath } from '../datapath.ts';
import { chooseEngine, type EngineSettings } from './engine/choose.ts';
import { EngineSwitch } from './engine-switch.ts';
import { Tunnel } from './tunnel.ts';

export interface TunSettings {
  /** What the operator chose for this node; the network config says the rest. */
  readonly engine: EngineChoice;
  /** Take datagrams of a peer only with a source in its subnets. */
  readonly filterPeers: boolean;
}

/** A data path whose device can stay when its process ends. */
export interface TunDataPath extends DataPath {
  setOutlives(outlives: boolean): void;
}

/** `left`: the name of a device that an earlier process has left for such an overlay, with nobody who has it open. */
export function tunDataPath(
  { engine, filterPeers }: TunSettings,
  store: DescriptorStore,
  log: Logger,
  left: (overlay: CarriedOverlay) => string | undefined = () => undefined,
): (...args: Parameters<StartDataPath>) => TunDataPath {
  return (overlay, config, { report }): TunDataPath => {
    const engines = new EngineSwitch(engine, config);
    const engineOf = (settings: EngineSettings) => chooseEngine(settings, (text) => log.warn(text));
    const multiQueue = engines.current.queues > 1;
    const tunnel = new Tunnel(
      { overlay, filterPeers },
      {
        startEngine: engineOf(engines.current),
        // The header costs an engine without offloads nothing, and lets another one take over the device.
        openDevice: (name) => openLeft(left(overlay), multiQueue, log) ?? openNew(name, multiQueue),
        adoptDevice: adopt,
        fits: ({ kind, hasVnetHeader, isMultiQueue }) => kind === 'tun' && hasVnetHeader && isMultiQueue === multiQueue,
        store,
        log,
        report,
      },
    );
    return {
      get device() {
        return tunnel.deviceName;
      },
      failed: tunnel.broken,
      setPeers: (change) => tunnel.setPeers(change),
      setPathLimit: (peer, limit) => tunnel.setPathLimit(peer, limit),
      setConfig: async (next) => {
        const settings = engines.take(next);
        if (settings === undefined) return;
        log.info(settings, 'The network config asks for another engine: changing it');
        await tunnel.replaceEngine(engineOf(settings));
      },
      setOutlives: (outlives) => tunnel.setOutlives(outlives),
      setUnderlay: (overlay) => tunnel.setUnderlay(overlay),
      remake: () => tunnel.remakeDevice(),
      statistics: () => ({ engine: engines.current.engine, ...tunnel.statistics }),
      pause: () => tunnel.pause(),
      resume: () => tunnel.resume(),
      handOver: () => tunnel.handOver(),
      stop: () => tunnel.close(),
    };
  };
}

function openNew(name: string, multiQueue: boolean): Device {
  return open({ name, kind: 'tun', exclusive: true, vnetHeader: true, multiQueue });
}

function openLeft(name: string | undefined, multiQueue: boolean, log: Logger): Device | undefined {
  if (name === undefined) return undefined;
  try {
    const device = open({ name, kind: 'tun', vnetHeader: true, multiQueue });
    log.info(`Taking over device ${name}, which a flanneld before has left`);
    return device;
  } catch (error) {
    log.warn(`Cannot take over device ${name}, which a flanneld before has left: ${messageOf(error)}`);
    return undefined;
  }
}
