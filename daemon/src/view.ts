/** What follows for this node from the leases and its surroundings, as they are known at this moment. */
import type { Lease } from '@flannel-ts/flannel/lease';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import type { Ip } from '@flannel-ts/inet/ip';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import type { Logger } from 'pino';
import type { Backend, Desired, RefusedLease, RequiredAddress, Surroundings } from './backend/backend.ts';
import type { DataPath, PeerChange, StartDataPath } from './datapath/datapath.ts';
import { diffPeers, type Peers, peersOf } from './datapath/peers.ts';
import { messageOf } from './errors.ts';
import { RefusalLog } from './refusal-log.ts';
import type { LeaseBatch } from './subnet/manager.ts';
import { createLeaseTable, type Leases } from './subnet/table.ts';
import type { ExternalInterface } from './underlay/select.ts';
import { type Paths, readLocalAddresses, readPaths } from './underlay/surroundings.ts';

export interface ViewOf {
  readonly config: NetworkConfig;
  readonly backend: Backend;
  readonly external: ExternalInterface;
  readonly lease: Lease;
  readonly required: readonly RequiredAddress[];
}

export interface ViewParts {
  readonly nl: Netlink;
  readonly startDataPath: StartDataPath;
  readonly reportDataPath: (trouble: string | undefined) => void;
  readonly onPeers: (change: PeerChange) => void;
  readonly log: Logger;
}

/** A look-up for each node: 25 ms of the processor for 1,000. */
const FULL_LOOK_MS = 60_000;
/** After changes of the kernel, looks take at most this part of the time. */
const LOOK_SHARE = 1 / 20;
const NO_CHANGE: PeerChange = { set: [], removed: [] };
const NO_PATHS: Paths = { tunnelled: new Map(), direct: new Map() };

export class View {
  /** Undefined for a backend that leaves packets to the kernel. */
  readonly dataPath: DataPath | undefined;
  private readonly table = createLeaseTable();
  private known = false;
  private surroundings: Surroundings;
  private computed: { readonly device: string | undefined; readonly desired: Desired } | undefined;
  private peers: Peers = new Map();
  private lookedAt = Number.NEGATIVE_INFINITY;
  private lookMs = 0;
  private hasKernelChanged = false;
  private readonly refusals = new RefusalLog();

  constructor(
    private of: ViewOf,
    private readonly parts: ViewParts,
  ) {
    this.surroundings = { ...NO_PATHS, addresses: readLocalAddresses(parts.nl), required: of.required };
    const { overlay, transport } = this.desired();
    if (transport === undefined) parts.reportDataPath(undefined);
    else {
      this.dataPath = parts.startDataPath({ ...overlay, ...transport }, of.config, { report: parts.reportDataPath });
    }
  }

  get external(): ExternalInterface {
    return this.of.external;
  }

  /** The node is reached otherwise from now on. Rejects, with all as it was, when the data path cannot be there. */
  async setExternal(external: ExternalInterface): Promise<void> {
    const before = this.of;
    this.of = { ...before, external };
    this.computed = undefined;
    try {
      const { overlay, transport } = this.desired();
      if (transport !== undefined) await this.dataPath?.setUnderlay({ ...overlay, ...transport });
    } catch (error) {
      this.of = before;
      this.computed = undefined;
      throw error;
    }
    this.update({ ...this.surroundings, addresses: readLocalAddresses(this.parts.nl) });
  }

  /** Every address of this host, as of the last look. */
  get addresses(): readonly Ip[] {
    return this.surroundings.addresses;
  }

  /** Names of the overlay's own devices. */
  get devices(): string[] {
    return this.desired().state.links.map(({ name }) => name);
  }

  /** In force. */
  get leases(): Leases {
    return this.table;
  }

  get refused(): readonly RefusedLease[] {
    return this.desired().refused;
  }

  /** Computed anew only after a change. */
  desired(): Desired {
    const device = this.dataPath?.device;
    if (this.computed?.device === device && this.computed !== undefined) return this.computed.desired;
    const { backend, external, lease } = this.of;
    const node = { ...lease, external, ...(device !== undefined && { device }), ...this.surroundings };
    const desired = backend.desired(node, this.known ? this.table.values() : undefined);
    this.computed = { device, desired };
    return desired;
  }

  /** One change, however many leases it has. False when it changes nothing, as a renewal does. */
  apply(batch: LeaseBatch): boolean {
    const { added, changed, removed } = this.table.apply(batch);
    const isFirst = !this.known;
    if (!isFirst && added.length + changed.length + removed.length === 0) return false;
    this.known = true;
    // Before they are peers: a packet to one of them might come back.
    const fresh = this.pathsTo(addressesOf([...added, ...changed.map(({ after }) => after)]));
    const tunnelled = withEntries(this.surroundings.tunnelled, fresh.tunnelled);
    const direct = withEntries(this.surroundings.direct, fresh.direct);
    // The data path waits for its peers, be there none.
    this.update({ ...this.surroundings, tunnelled, direct }, isFirst);
    return true;
  }

  /** None when the kernel does not say: look() asks again soon, and an error here must not end what forwards packets. */
  private pathsTo(addresses: Set<Ip>): Paths {
    try {
      return readPaths(this.parts.nl, addresses);
    } catch (error) {
      this.parts.log.warn(`Cannot look up the routes to new nodes, trying again: ${messageOf(error)}`);
      this.kernelChanged(); // so that the next look() asks
      return NO_PATHS;
    }
  }

  /** The kernel has changed something: the next look() is a full one, as soon as that is no burden. */
  kernelChanged(): void {
    this.hasKernelChanged = true;
  }

  /** Looks again at what the kernel may have changed: after an event, or once a minute, since each node costs a look-up. */
  look(): void {
    const { nl } = this.parts;
    const startedAt = performance.now();
    const gap = this.hasKernelChanged ? this.lookMs / LOOK_SHARE : FULL_LOOK_MS;
    if (startedAt - this.lookedAt < gap) return;
    const addresses = readLocalAddresses(nl);
    const paths = readPaths(nl, addressesOf(this.table.values()));
    this.lookedAt = performance.now(); // only now: a look that failed is repeated at the next pass
    this.lookMs = this.lookedAt - startedAt;
    this.hasKernelChanged = false;
    const before = this.surroundings;
    const isSame =
      sameValues(addresses, before.addresses) &&
      sameEntries(paths.tunnelled, before.tunnelled) &&
      sameEntries(paths.direct, before.direct);
    if (!isSame) this.update({ ...before, ...paths, addresses });
  }

  private update(surroundings: Surroundings, isFirst = false): void {
    this.surroundings = surroundings;
    this.computed = undefined;
    const { overlay, refused } = this.desired();
    const line = this.refusals.lineFor(refused, performance.now());
    if (line !== undefined) this.parts.log.warn(line);
    const peers = peersOf(overlay.peers);
    const change = diffPeers(this.peers, peers);
    this.peers = peers;
    if (change === undefined && !isFirst) return;
    this.dataPath?.setPeers(change ?? NO_CHANGE);
    if (change !== undefined) this.parts.onPeers(change);
  }
}

function addressesOf(leases: Iterable<Lease>): Set<Ip> {
  const addresses = new Set<Ip>();
  for (const { attributes } of leases) {
    if (attributes.publicIp !== undefined) addresses.add(attributes.publicIp);
    if (attributes.publicIpv6 !== undefined) addresses.add(attributes.publicIpv6);
  }
  return addresses;
}

function withEntries(known: ReadonlyMap<Ip, string>, more: ReadonlyMap<Ip, string>): ReadonlyMap<Ip, string> {
  if (more.size === 0) return known;
  const all = new Map(known);
  for (const [address, name] of more) all.set(address, name);
  return all;
}

function sameValues(a: readonly Ip[], b: readonly Ip[]): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index]);
}

function sameEntries(a: ReadonlyMap<Ip, string>, b: ReadonlyMap<Ip, string>): boolean {
  return a.size === b.size && [...a].every(([address, name]) => b.get(address) === name);
}
