/**
 * The programs on a node and what they stand on: maps, a pair of devices, attachments. All of it has names in the BPF file system, so that it
 * works on when this process ends, and the next one takes it over.
 */
import { existsSync, readlinkSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename } from 'node:path';
import { type Attachment, attachTc } from '@flannel-ts/bpf/attach';
import { mapInfo } from '@flannel-ts/bpf/info';
import { BpfMap, createMap, type MapSpec } from '@flannel-ts/bpf/map';
import { ensureBpffs, openPinned, pin, unpin } from '@flannel-ts/bpf/pin';
import { type BpfProgram, loadProgram } from '@flannel-ts/bpf/program';
import { formatIp, type Ip, isIpv6 } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { listAddresses } from '@flannel-ts/rtnetlink/address';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import { getLink, type Link } from '@flannel-ts/rtnetlink/link';
import { DaemonError } from '../../errors.ts';
import type { CarriedOverlay, OverlayPeer, PeerChange } from '../datapath.ts';
import { type KernelCounters, readCounters } from './counters.ts';
import { filterPlace, programTitle } from './filters.ts';
import { LAYOUT_VERSION, MAPS, type MapName } from './layout.ts';
import { removePrograms } from './left.ts';
import { ensurePair, type Pair, pairNames } from './pair.ts';
import { folderOf, linkPath, makeFolder, type ProgramName, removeEnded } from './pins.ts';
import { mergedProgram, receiveProgram } from './programs/receive.ts';
import { type SourcePorts, sendProgram } from './programs/send.ts';
import { ETHERNET } from './programs/skb.ts';
import { Tables } from './tables.ts';

export interface KernelPathSettings {
  /** The device in front of the pods' network. */
  readonly device: string;
  readonly overlay: Omit<CarriedOverlay, 'peers'>;
  readonly filterPeers: boolean;
  readonly sources: SourcePorts;
  /** Through a pair of devices that merges; without it each packet goes to the device by itself. */
  readonly merging: boolean;
  /** Whether the link leaves checksums to the receiver (send.ts); by default it is looked at. */
  readonly leavesChecksums?: boolean;
  /** tcx links where the kernel has them (default true). */
  readonly links?: boolean;
  /** Whether the kernel can be told the family inside; true until it refuses. */
  readonly tellsFamily?: boolean;
}

const MAX_QUEUES = 16;

interface Attached {
  readonly program: BpfProgram;
  readonly attachment: Attachment;
  readonly interfaceIndex: number;
}

export class KernelPath {
  readonly #folder: string;
  readonly #maps: Readonly<Record<MapName, BpfMap>>;
  readonly #tables: Tables;
  readonly #attached = new Map<ProgramName, Attached>();
  #settings: KernelPathSettings;
  #external = 0;

  /**
   * Packets take this way when it returns. Throws with all as it was before when they cannot. Without `peers`, those that an earlier process has
   * left stay until the first setPeers(), which has them all.
   */
  constructor(
    private readonly nl: Netlink,
    settings: KernelPathSettings,
    peers: Iterable<OverlayPeer> | undefined,
  ) {
    this.#settings = settings;
    this.#folder = folderOf(settings.device);
    externalLink(nl, settings.overlay.listen);
    ensureBpffs();
    removeEnded();
    makeFolder(this.#folder);
    this.#maps = openMaps(this.#folder);
    this.#tables = new Tables(this.#maps, settings.overlay.mtu);
    try {
      if (peers !== undefined) this.#tables.begin(peers);
      this.#attachAll();
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  setPeers(change: PeerChange): void {
    this.#tables.change(change);
  }

  setPathLimit(peer: Ip, limit: number | undefined): void {
    this.#tables.setLimit(peer, limit);
  }

  /** Programs of the new settings in place of the others: each packet meets the one or the other. */
  change(settings: Partial<KernelPathSettings>): void {
    const before = this.#settings;
    this.#settings = { ...before, ...settings };
    try {
      this.#tables.setMtu(this.#settings.overlay.mtu);
      this.#attachAll();
    } catch (error) {
      this.#settings = before;
      throw error;
    }
  }

  /**
   * Whether something had to be put right: a device was made anew or is down, or somebody detached a program or took a name away. Throws what
   * cannot be put right.
   */
  heal(): boolean {
    const { index } = externalLink(this.nl, this.#settings.overlay.listen);
    const isWhole = index === this.#external && this.#isAttached() && this.#isPairUp();
    if (!isWhole) {
      makeFolder(this.#folder);
      pinMaps(this.#folder, this.#maps);
      this.#attachAll();
    }
    if (this.#tables.failure !== undefined) throw this.#tables.failure;
    return !isWhole;
  }

  #isAttached(): boolean {
    const all = [...this.#attached];
    return (
      all.length > 0 &&
      all.every(([name, { program, attachment }]) => {
        return attachment.holds(program) && (attachment.kind !== 'tcx' || existsSync(linkPath(this.#folder, name)));
      }) &&
      MAP_NAMES.every((name) => existsSync(mapPath(this.#folder, name)))
    );
  }

  #isPairUp(): boolean {
    const { merging, device } = this.#settings;
    if (!merging) return true;
    return Object.values(pairNames(device)).every((name) => getLink(this.nl, name)?.up);
  }

  counters(): KernelCounters {
    return readCounters(this.#maps.totals, this.#maps.peers, this.#tables.addresses);
  }

  /** Lets go of it, and it goes on. */
  close(): void {
    for (const { attachment, program } of this.#attached.values()) {
      attachment.close();
      program.close();
    }
    this.#attached.clear();
    for (const map of Object.values(this.#maps)) map.close();
  }

  /** Packets take the way of the engine in user space again; nothing is left. */
  remove(): void {
    // Sending ends first: what is on its way still arrives.
    for (const name of ['send', 'receive', 'merged'] as const) this.#attached.get(name)?.attachment.detach();
    this.close();
    removePrograms(this.nl, this.#settings.device);
  }

  #attachAll(): void {
    const { device, overlay, merging } = this.#settings;
    const external = externalLink(this.nl, overlay.listen);
    const deviceIndex = getLink(this.nl, device)?.index;
    if (deviceIndex === undefined) throw new DaemonError('KERNEL', `There is no device ${device}`);
    const queues = Math.min(availableParallelism(), MAX_QUEUES);
    const pair = merging ? ensurePair(this.nl, device, queues) : undefined;
    // What receives comes before what sends.
    if (pair !== undefined)
      this.#attach('merged', pair.far, 'ingress', () => mergedProgram(this.#receiving(), deviceIndex));
    this.#attach('receive', external.index, 'ingress', () => this.#receive(pair, deviceIndex));
    this.#attach('send', deviceIndex, 'egress', () => this.#send(external.index));
    this.#external = external.index;
  }

  #attach(
    name: ProgramName,
    interfaceIndex: number,
    direction: 'ingress' | 'egress',
    code: () => ReturnType<typeof mergedProgram>,
  ): void {
    const { device, links = true } = this.#settings;
    const before = this.#attached.get(name);
    const program = loadProgram({ type: 'tc', name: programTitle(name), code: code(), maps: this.#maps });
    const { priority, handle } = filterPlace(device, interfaceIndex, direction);
    const place = { interfaceIndex, direction, pinned: linkPath(this.#folder, name), priority, handle };
    try {
      const attachment = attachTc(this.nl, place, program, { links });
      this.#attached.set(name, { program, attachment, interfaceIndex });
    } catch (error) {
      program.close();
      this.#attached.delete(name);
      throw error;
    } finally {
      before?.program.close();
      // A link has left the other interface with its name; a filter would stay there.
      if (before?.attachment.kind === 'clsact' && before.interfaceIndex !== interfaceIndex) before.attachment.detach();
      else before?.attachment.close();
    }
  }

  #send(external: number) {
    const { overlay, sources } = this.#settings;
    return sendProgram({
      linkHeader: 0,
      external,
      listen: overlay.listen as Ipv4,
      port: overlay.port,
      ipv6: overlay.address6 !== undefined,
      sources,
      leavesChecksums: this.#leavesChecksums(),
    });
  }

  #leavesChecksums(): boolean {
    return this.#settings.leavesChecksums ?? leavesChecksums(externalLink(this.nl, this.#settings.overlay.listen));
  }

  #receive(pair: Pair | undefined, interfaceIndex: number) {
    const delivery =
      pair === undefined ? ({ kind: 'device', interfaceIndex } as const) : ({ kind: 'pair', ...pair } as const);
    return receiveProgram({ ...this.#receiving(), delivery });
  }

  #receiving() {
    const { overlay, filterPeers, tellsFamily = true } = this.#settings;
    return {
      listen: overlay.listen as Ipv4,
      port: overlay.port,
      filterPeers,
      own: overlay.address,
      own6: overlay.address6,
      tellsFamily,
      leavesChecksums: this.#leavesChecksums(),
    };
  }
}

const MAP_NAMES = Object.keys(MAPS) as MapName[];

function mapPath(folder: string, name: MapName): string {
  return `${folder}/${name}_${LAYOUT_VERSION}`;
}

function openMaps(folder: string): Record<MapName, BpfMap> {
  const entries = MAP_NAMES.map((name) => [name, openMap(mapPath(folder, name), MAPS[name])]);
  return Object.fromEntries(entries) as Record<MapName, BpfMap>;
}

/** Those whose names somebody has taken away. */
function pinMaps(folder: string, maps: Readonly<Record<MapName, BpfMap>>): void {
  for (const name of MAP_NAMES) if (!existsSync(mapPath(folder, name))) pin(maps[name], mapPath(folder, name));
}

function openMap(path: string, spec: MapSpec): BpfMap {
  const fd = openPinned(path);
  if (fd !== undefined) {
    const { spec: found } = mapInfo(fd);
    const map = new BpfMap(fd, spec);
    if (found.type === spec.type && found.keyBytes === spec.keyBytes && found.valueBytes === spec.valueBytes)
      return map;
    map.close();
    unpin(path);
  }
  const map = createMap(spec);
  try {
    pin(map, path);
    return map;
  } catch (error) {
    map.close();
    throw error;
  }
}

/** Where datagrams of peers arrive: programs know Ethernet. */
function externalLink(nl: Netlink, listen: Ip): Link {
  if (isIpv6(listen)) {
    throw new DaemonError(
      'KERNEL',
      'Nodes reach each other by IPv6, whose datagrams need a checksum that programs cannot make',
    );
  }
  const address = listAddresses(nl, { family: 4 }).find((each) => each.address.address === listen);
  if (address === undefined) throw new DaemonError('KERNEL', `No interface has the address ${formatIp(listen)}`);
  const link = getLink(nl, address.index);
  if (link === undefined) throw new DaemonError('KERNEL', `The interface with ${formatIp(listen)} is gone`);
  if (link.mac === undefined || link.name === 'lo') {
    throw new DaemonError('KERNEL', `Interface ${link.name} has no link addresses of Ethernet (${ETHERNET} bytes)`);
  }
  return link;
}

/** What hosts give their virtual machines: it may lead to another one on the same host. */
const VIRTUAL_DRIVERS = ['virtio_net', 'vif', 'hv_netvsc', 'vmxnet3'];

/** A real network card completes checksums; so far as is known, everything else may not. */
function leavesChecksums({ name, kind }: Link): boolean {
  if (kind !== undefined) return true;
  try {
    return VIRTUAL_DRIVERS.includes(basename(readlinkSync(`/sys/class/net/${name}/device/driver`)));
  } catch {
    return true;
  }
}
