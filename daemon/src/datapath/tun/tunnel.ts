/**
 * The node's end of the overlay: the TUN device, the UDP socket and the engine between them. One owner for all three: it
 * makes them, makes them again when they are lost, and lets go of them in the right order (a descriptor is closed when no
 * thread uses it any more).
 */
import { formatIp, type Ip, isIpv6 } from '@flannel-ts/inet/ip';
import type { PrefixKey } from '@flannel-ts/inet/prefix';
import { deviceCounters, transmitDrops } from '@flannel-ts/linux/device-counters';
import { isErrno } from '@flannel-ts/linux/errors';
import { closeFd, type Fd } from '@flannel-ts/linux/files';
import { getSockName, sockaddrOf } from '@flannel-ts/linux/socket';
import type { Logger } from 'pino';
import { Backoff, sleep } from '../../abort.ts';
import { DaemonError, messageOf } from '../../errors.ts';
import type { CarriedOverlay, DescriptorStore, OverlayPeer, PeerChange } from '../datapath.ts';
import { changePeers, peersOf } from '../peers.ts';
import { setDeviceParameters } from './device-parameters.ts';
import type { Engine, EngineCounters, StartEngine } from './engine/engine.ts';
import { EngineError } from './engine/errors.ts';
import { openEngineSocket } from './engine/socket.ts';
import { WaitingRoom } from './waiting-room.ts';

export interface TunnelSettings {
  readonly overlay: CarriedOverlay;
  readonly filterPeers: boolean;
}

export interface TunDevice {
  readonly name: string;
  readonly fd: Fd;
  /** Whether it stays when nobody has it open any more. */
  setPersist?(on: boolean): void;
  close(): void;
}

export interface AdoptedDevice extends TunDevice {
  readonly kind: 'tun' | 'tap';
  readonly hasVnetHeader: boolean;
  readonly isMultiQueue: boolean;
}

export interface TunnelParts {
  readonly startEngine: StartEngine;
  /** `flannel%d` lets the kernel choose a number. */
  readonly openDevice: (name: string) => TunDevice;
  /** The device of which another process has had this queue; undefined if it is gone. */
  readonly adoptDevice: (fd: Fd) => AdoptedDevice | undefined;
  /** Whether the engine can use it. */
  readonly fits: (device: AdoptedDevice) => boolean;
  readonly store: DescriptorStore;
  readonly log: Logger;
  readonly report: (trouble: string | undefined) => void;
}

export interface TunnelStatistics {
  readonly starts: number;
  /** Engines that died, or did not start. */
  readonly failures: number;
  readonly deviceDrops: number | undefined;
  readonly counters: EngineCounters | undefined;
}

const DEVICE_NAME = 'flannel%d';
const CALM_MS = 60_000;
const GONE_WITHIN_MS = 1000;
/** In the store. */
const DEVICE = 'device';
const SOCKET = 'socket';

export class Tunnel {
  private device: TunDevice | undefined;
  private name = DEVICE_NAME;
  private lastFailure = Number.NEGATIVE_INFINITY;
  private starts = 0;
  private failures = 0;
  private overlay: CarriedOverlay;
  private socketFd: Fd;
  private engine: Engine | undefined;
  private start: StartEngine;
  private readonly peers: Map<PrefixKey, OverlayPeer>;
  /** Kept for the next engine. */
  private readonly limits = new Map<Ip, number>();
  private readonly backoff = new Backoff(200, 10_000);
  private readonly stopping = new AbortController();
  private readonly room: WaitingRoom;
  /** Starts, stops and remakes run one after the other. */
  private queue: Promise<unknown> = Promise.resolve();
  private fail!: (error: Error) => void;
  /** Packets wait in the device and the socket of the process before: the engine would find no peers for them yet. */
  private awaitsPeers = false;
  /** Another process moves packets through the same device and socket. */
  private paused = false;

  /** Rejects when only a new process helps. */
  readonly broken: Promise<never>;

  constructor(
    private readonly settings: TunnelSettings,
    private readonly parts: TunnelParts,
  ) {
    this.broken = new Promise((_, reject) => {
      this.fail = reject;
    });
    this.broken.catch(() => {});
    this.start = parts.startEngine;
    this.peers = peersOf(settings.overlay.peers);
    this.overlay = settings.overlay;
    this.room = new WaitingRoom(() => this.socketFd, this.stopping.signal, parts.log);
    this.socketFd = this.firstSocket();
    try {
      this.firstDevice();
    } catch (error) {
      closeFd(this.socketFd);
      throw error;
    }
    if (!this.awaitsPeers) void this.enqueue(() => this.startEngine());
  }

  get deviceName(): string {
    return this.name;
  }

  /** Counters of the engine begin anew with each one; undefined while there is none. */
  get statistics(): TunnelStatistics {
    const { starts, failures } = this;
    return { starts, failures, deviceDrops: this.deviceDrops(), counters: this.engine?.counters() };
  }

  private deviceDrops(): number | undefined {
    try {
      return transmitDrops(this.name);
    } catch {
      return undefined; // no /proc
    }
  }

  setPeers(change: PeerChange): void {
    changePeers(this.peers, change);
    this.forgetLimits();
    if (this.awaitsPeers) {
      this.awaitsPeers = false;
      void this.enqueue(async () => {
        this.room.open();
        await this.parts.store.released();
        await this.startEngine();
        this.room.closeSoon();
      });
    }
    this.engine?.changeRoutes(change);
  }

  /** The engine forgets the limit of a peer that leaves, too. */
  private forgetLimits(): void {
    if (this.limits.size === 0) return;
    const present = new Set([...this.peers.values()].map(({ peer }) => peer));
    for (const peer of this.limits.keys()) if (!present.has(peer)) this.limits.delete(peer);
  }

  setPathLimit(peer: Ip, limit: number | undefined): void {
    if (limit === undefined) this.limits.delete(peer);
    else this.limits.set(peer, limit);
    this.engine?.setPathLimit(peer, limit);
  }

  /** Another engine on the same device and socket. */
  replaceEngine(start: StartEngine): Promise<void> {
    this.start = start;
    return this.enqueue(async () => {
      await this.stopEngine();
      await this.startEngine();
    });
  }

  /** Another socket, unless only the MTU is another one. Rejects, with all as it was, when the address cannot be had. */
  setUnderlay({ listen, mtu }: Pick<CarriedOverlay, 'listen' | 'mtu'>): Promise<void> {
    return this.enqueue(async () => {
      const overlay = { ...this.overlay, listen, mtu };
      if (listen === this.overlay.listen && mtu === this.overlay.mtu) return;
      const socketFd = listen === this.overlay.listen ? this.socketFd : openSocket(overlay);
      await this.stopEngine();
      if (socketFd !== this.socketFd) {
        closeFd(this.socketFd);
        this.parts.store.keep(SOCKET, socketFd);
      }
      this.socketFd = socketFd;
      this.overlay = overlay;
      await this.startEngine();
    });
  }

  /** Of the present device. */
  setOutlives(outlives: boolean): void {
    this.device?.setPersist?.(outlives);
  }

  /** A new device, of the same name if it is free, and the engine on it: the old one was deleted. */
  remakeDevice(): Promise<void> {
    return this.enqueue(async () => {
      this.parts.log.warn(`Device ${this.name} is gone: making it again`);
      await this.stopEngine();
      this.closeDevice();
      this.makeDevice();
      await this.startEngine();
    });
  }

  pause(): Promise<void> {
    this.paused = true;
    return this.enqueue(() => this.stopEngine('another flanneld takes over'));
  }

  resume(): Promise<void> {
    this.paused = false;
    return this.enqueue(async () => {
      await this.startEngine();
      this.room.closeSoon();
    });
  }

  async close(): Promise<void> {
    await this.handOver();
    for (const name of [DEVICE, SOCKET]) this.parts.store.forget(name);
  }

  /** As close(), but what the store keeps stays. */
  async handOver(): Promise<void> {
    this.stopping.abort();
    await this.queue.catch(() => {});
    this.room.open();
    await this.stopEngine();
    this.closeDevice();
    closeFd(this.socketFd);
  }

  private enqueue(task: () => Promise<void>): Promise<void> {
    const run = this.queue.then(task, task);
    this.queue = run.catch(() => {});
    return run;
  }

  /** Does not throw: a failed start is tried again, with growing pauses. */
  private async startEngine(): Promise<void> {
    if (this.stopping.signal.aborted || this.engine !== undefined || this.device === undefined) return;
    if (this.awaitsPeers || this.paused) return;
    const { filterPeers } = this.settings;
    const { mtu, port, address, address6 } = this.overlay;
    const config = {
      tunFd: this.device.fd,
      socketFd: this.socketFd,
      ...(address !== undefined && { tunAddress: address }),
      ...(address6 !== undefined && { tunAddress6: address6 }),
      mtu,
      port,
      filterPeers,
      routes: [...this.peers.values()],
    };
    try {
      const engine = await this.start(config);
      this.engine = engine;
      this.starts++;
      // They may have changed meanwhile.
      engine.setRoutes([...this.peers.values()]);
      for (const [peer, limit] of this.limits) engine.setPathLimit(peer, limit);
      void engine.failed.then((error) => this.onEngineFailed(engine, error));
      this.parts.report(undefined);
      this.parts.log.info({ device: this.name }, 'The engine runs');
    } catch (error) {
      if (error instanceof EngineError && error.code === 'UNSTOPPABLE') this.giveUp(error);
      else this.retryAfter(`cannot start: ${messageOf(error)}`);
    }
  }

  private onEngineFailed(engine: Engine, error: Error): void {
    if (engine !== this.engine || this.stopping.signal.aborted) return;
    this.parts.log.error(`The engine failed: ${messageOf(error)}`);
    const trouble = `failed: ${messageOf(error)}`;
    this.parts.report(trouble);
    void this.enqueue(async () => {
      if (engine !== this.engine) return; // made anew meanwhile, with another device
      await this.stopEngine(trouble);
      this.retryAfter(trouble);
    }).catch(() => {});
  }

  private retryAfter(trouble: string): void {
    // A failure after a long time without one has nothing to do with the earlier ones.
    if (performance.now() - this.lastFailure > CALM_MS) this.backoff.reset();
    this.lastFailure = performance.now();
    this.failures++;
    const delay = this.backoff.take();
    this.parts.report(`${trouble}, next try in ${delay} ms`);
    void sleep(delay, this.stopping.signal).then(() => this.enqueue(() => this.startEngine()));
  }

  private async stopEngine(why = 'stopped'): Promise<void> {
    const { engine } = this;
    this.engine = undefined;
    if (engine === undefined) return;
    this.parts.report(why);
    try {
      await engine.stop();
    } catch (error) {
      throw this.giveUp(error);
    }
  }

  /** The engine's thread may still use the descriptors: they can neither be closed nor given to another one. */
  private giveUp(error: unknown): DaemonError {
    const broken = new DaemonError('ENGINE', `The engine cannot be stopped: ${messageOf(error)}`, { cause: error });
    this.parts.report(broken.message);
    this.fail(broken);
    return broken;
  }

  /** That of the process before, where it listened at the same place. */
  private firstSocket(): Fd {
    const { store, log } = this.parts;
    const { overlay } = this.settings;
    const given = store.take(SOCKET);
    if (given !== undefined) {
      if (isBoundTo(given, overlay)) return given;
      log.info('Another address to listen on than before the restart: opening another socket');
      closeFd(given);
      store.forget(SOCKET);
    }
    const fd = openSocket(overlay);
    store.keep(SOCKET, fd);
    return fd;
  }

  /** That of the process before, with the packets that wait in it, or a new one. */
  private firstDevice(): void {
    const { store, log } = this.parts;
    const given = store.take(DEVICE);
    if (given !== undefined) {
      const device = this.parts.adoptDevice(given);
      if (device !== undefined && this.parts.fits(device)) {
        log.info(`Taking over device ${device.name} from the flanneld before`);
        this.awaitsPeers = true;
        this.use(device);
        return;
      }
      log.info('The device of the flanneld before is gone, or was made for other settings: making another one');
      closeFd(given);
      store.forget(DEVICE);
      store.discard();
      // So that the new one can have its name.
      if (device !== undefined) untilGone(device.name);
    }
    this.makeDevice();
  }

  private closeDevice(): void {
    this.device?.close();
    this.device = undefined;
  }

  /** Of the same name as before, so that rules that name it go on to hold. */
  private makeDevice(): void {
    try {
      this.use(this.parts.openDevice(this.name));
    } catch (error) {
      // BUSY, EXISTS: of tun-tap.
      if (!isErrno(error, 'BUSY', 'EXISTS') || this.name === DEVICE_NAME) throw error;
      this.parts.log.warn(`The name ${this.name} is taken by another device: taking a new one`);
      this.use(this.parts.openDevice(DEVICE_NAME));
    }
    this.parts.store.keep(DEVICE, this.device!.fd);
    this.room.makeIn(this.name);
  }

  private use(device: TunDevice): void {
    this.device = device;
    this.name = device.name;
    setDeviceParameters(this.name, this.settings.overlay.address6 !== undefined, this.parts.log);
  }
}

/** Whoever keeps its last descriptor lets go of it soon, or never. */
function untilGone(device: string): void {
  const nobodyWakes = new Int32Array(new SharedArrayBuffer(4));
  const end = performance.now() + GONE_WITHIN_MS;
  while (deviceCounters(device) !== undefined && performance.now() < end) Atomics.wait(nobodyWakes, 0, 0, 5);
}

function isBoundTo(fd: Fd, { listen, port }: CarriedOverlay): boolean {
  try {
    return Buffer.compare(getSockName(fd), sockaddrOf(listen, port)) === 0;
  } catch {
    return false; // no socket
  }
}

function openSocket({ listen, port }: CarriedOverlay): Fd {
  try {
    return openEngineSocket(listen, port);
  } catch (error) {
    const hint = isErrno(error, 'EADDRINUSE') ? ': does another flanneld run here?' : '';
    const where = isIpv6(listen) ? `[${formatIp(listen)}]` : formatIp(listen);
    throw new DaemonError('KERNEL', `Cannot listen on UDP ${where}:${port}: ${messageOf(error)}${hint}`, {
      cause: error,
    });
  }
}
