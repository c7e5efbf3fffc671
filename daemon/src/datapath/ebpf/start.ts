/**
 * A data path of user space with programs in front of it, where the engine `ebpf` is asked for. The programs go on when this process ends,
 * and so does the device, which then belongs to nobody until the next process takes it.
 */
import type { EngineChoice, EngineName } from '@flannel-ts/flannel/backend-config';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { openNetlink } from '@flannel-ts/rtnetlink/connection';
import type { Logger } from 'pino';
import type { CarriedOverlay, DataPath, DataPathStatistics, StartDataPath } from '../datapath.ts';
import { changePeers, peersOf } from '../peers.ts';
import { addCounters, handedOver } from './counters.ts';
import { explain } from './explain.ts';
import { KernelPath } from './kernel-path.ts';
import { removePrograms } from './left.ts';
import type { SourcePorts } from './programs/send.ts';

export interface EbpfSettings {
  /** What the operator chose for this node; the network config says the rest. */
  readonly engine: EngineChoice;
  readonly filterPeers: boolean;
}

/** A data path whose device can stay when its process ends. */
export interface LastingDataPath extends DataPath {
  setOutlives(outlives: boolean): void;
}
export type StartLasting = (...args: Parameters<StartDataPath>) => LastingDataPath;

/** Of the ports that nobody is given by name (RFC 6335, 6): by flow, as VXLAN does, so that what is on the way can spread a tunnel. */
const ALL_SOURCES: SourcePorts = { first: 49152, count: 16384 };
/** Programs have not been shown to be as fast in everything that is measured: docs/engine.md. */
const CHOSEN = 'fast: programs in the kernel (ebpf) are taken only where they are asked for';
/** Within two of these, what somebody else took away is back. */
const HEAL_MS = 1000;

/** `start` is given configs in which the engine is a definite one: the choice of this node is made here. */
export function withPrograms(settings: EbpfSettings, start: StartLasting, log: Logger): StartDataPath {
  return (overlay, config, parts): DataPath =>
    new ProgrammedPath(settings, overlay, config, log, (resolved) => start(overlay, resolved, parts));
}

class ProgrammedPath implements DataPath {
  readonly #nl = openNetlink();
  readonly #engine: LastingDataPath;
  readonly #peers: ReturnType<typeof peersOf>;
  /** Until then those of the process before are better than none. */
  #hasPeers: boolean;
  #overlay: CarriedOverlay;
  #config: NetworkConfig;
  #kernel: KernelPath | undefined;
  #device = '';
  /** Why there are no programs although they are asked for. */
  #refused: string | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly settings: EbpfSettings,
    overlay: CarriedOverlay,
    config: NetworkConfig,
    private readonly log: Logger,
    start: (config: NetworkConfig) => LastingDataPath,
  ) {
    this.#overlay = overlay;
    this.#config = config;
    this.#peers = peersOf(overlay.peers);
    this.#hasPeers = overlay.peers.length > 0;
    const wanted = this.#wanted();
    this.#engine = start(resolve(config, wanted));
    try {
      if (wanted === 'ebpf') this.#attach();
      else this.#clear();
      this.#tellChoice(undefined);
    } catch (error) {
      void this.#engine.stop();
      throw error;
    }
    if (wanted === 'ebpf' && this.#kernel === undefined) void this.#engine.setConfig(resolve(config, 'fast'));
  }

  get device(): string {
    return this.#engine.device;
  }

  get failed(): Promise<never> {
    return this.#engine.failed;
  }

  setPeers(change: Parameters<DataPath['setPeers']>[0]): void {
    changePeers(this.#peers, change);
    this.#hasPeers = true;
    this.#engine.setPeers(change);
    this.#try('set the peers of the programs', (kernel) => kernel.setPeers(change));
  }

  setPathLimit(...args: Parameters<DataPath['setPathLimit']>): void {
    this.#engine.setPathLimit(...args);
    this.#try('limit a path of the programs', (kernel) => kernel.setPathLimit(...args));
  }

  async setConfig(config: NetworkConfig): Promise<void> {
    const before = this.#wanted();
    this.#config = config;
    this.#tellChoice(before);
    const wanted = this.#wanted();
    if (wanted !== 'ebpf' && this.#kernel !== undefined) {
      this.log.info('The network config asks for no programs any more: removing them');
      this.#detach();
    }
    if (wanted === 'ebpf' && this.#kernel === undefined) this.#attach();
    this.#try('change the programs', (kernel) => kernel.change({ sources: this.#sources() }));
    await this.#engine.setConfig(resolve(config, this.#kernel === undefined && wanted === 'ebpf' ? 'fast' : wanted));
  }

  async setUnderlay(underlay: Parameters<DataPath['setUnderlay']>[0]): Promise<void> {
    await this.#engine.setUnderlay(underlay);
    this.#overlay = { ...this.#overlay, ...underlay };
    const { peers: _, ...overlay } = this.#overlay;
    // Where it fails, healing tries again: until then the engine receives at the new address.
    this.#try('move the programs to another interface', (kernel) => kernel.change({ overlay }));
  }

  async remake(): Promise<void> {
    await this.#engine.remake();
    if (this.#kernel === undefined) return;
    this.#engine.setOutlives(true);
    if (this.#engine.device === this.#device) this.#try('attach the programs again', (kernel) => kernel.change({}));
    else {
      this.#detach();
      this.#attach();
    }
  }

  statistics(): DataPathStatistics {
    const own = this.#engine.statistics();
    if (this.#kernel === undefined) {
      return {
        ...own,
        ...(this.#refused !== undefined && { refused: this.#refused }),
        ...(this.#wanted() === 'auto' && { chosen: CHOSEN }),
      };
    }
    const kernel = this.#kernel.counters();
    return {
      ...own,
      engine: 'ebpf',
      handedOver: handedOver(kernel),
      ...(this.#refused !== undefined && { refused: this.#refused }),
      counters: own.counters && addCounters(own.counters, kernel),
    };
  }

  /** Programs go on; another process may put its own in their place. */
  async pause(): Promise<void> {
    this.#end();
    await this.#engine.pause();
  }

  async resume(): Promise<void> {
    await this.#engine.resume();
    if (this.#kernel === undefined) return;
    this.#kernel.close();
    this.#kernel = undefined;
    this.#attach();
  }

  /** Programs go on with the peers that they have. */
  async handOver(): Promise<void> {
    this.#end();
    this.#kernel?.close();
    await this.#engine.handOver();
    this.#nl.close();
  }

  async stop(): Promise<void> {
    this.#end();
    if (this.#kernel !== undefined) this.#detach();
    await this.#engine.stop();
    this.#nl.close();
  }

  #wanted(): EngineName {
    const { backend } = this.#config;
    return this.settings.engine.engine ?? (backend.type === 'udp' ? backend.engine : undefined) ?? 'auto';
  }

  #tellChoice(before: EngineName | undefined): void {
    if (this.#wanted() === 'auto' && before !== 'auto') this.log.info(`Engine auto takes ${CHOSEN}`);
  }

  #sources(): SourcePorts {
    const { backend } = this.#config;
    const count = this.settings.engine.sourcePorts ?? (backend.type === 'udp' ? backend.sourcePorts : undefined);
    return count === 1 ? { first: this.#overlay.port, count: 1 } : ALL_SOURCES;
  }

  /** Does not throw: without programs, the engine does it all. */
  #attach(): void {
    this.#device = this.#engine.device;
    const { peers: _, ...overlay } = this.#overlay;
    const { filterPeers } = this.settings;
    try {
      const path = { device: this.#device, overlay, filterPeers, sources: this.#sources(), merging: true };
      this.#kernel = new KernelPath(this.#nl, path, this.#hasPeers ? this.#peers.values() : undefined);
      this.#engine.setOutlives(true);
      this.#refused = undefined;
      this.log.info(
        { device: this.#device },
        'Programs in the kernel move the packets, the engine those that they leave',
      );
      this.#timer = setInterval(() => this.#heal(), HEAL_MS).unref();
    } catch (error) {
      this.#refused = explain(error);
      this.log.warn(`No programs in the kernel, the fast engine moves all packets: ${this.#refused}`);
    }
  }

  #detach(): void {
    this.#end();
    this.#try('remove the programs', (kernel) => kernel.remove());
    this.#kernel = undefined;
    this.#engine.setOutlives(false);
  }

  /** What an earlier process has left, which asked for programs. */
  #clear(): void {
    this.#engine.setOutlives(false);
    const { device } = this.#engine;
    if (removePrograms(this.#nl, device)) this.log.info({ device }, 'Removed the programs of the flanneld before');
  }

  #end(): void {
    clearInterval(this.#timer);
  }

  #heal(): void {
    try {
      if (this.#kernel?.heal()) this.log.warn('Programs in the kernel were gone from a device, and are attached again');
      this.#refused = undefined;
    } catch (error) {
      const why = explain(error);
      if (why !== this.#refused) this.log.warn(`The programs in the kernel do not see all packets: ${why}`);
      this.#refused = why;
    }
  }

  #try(what: string, action: (kernel: KernelPath) => void): void {
    if (this.#kernel === undefined) return;
    try {
      action(this.#kernel);
    } catch (error) {
      this.log.error(`Cannot ${what}: ${explain(error)}`);
    }
  }
}

/** `auto` is the fast engine as long as programs have not shown to be as good everywhere. */
function resolve(config: NetworkConfig, wanted: EngineName): NetworkConfig {
  const { backend } = config;
  if (backend.type !== 'udp') return config;
  return { ...config, backend: { ...backend, engine: wanted === 'auto' ? 'fast' : wanted } };
}
