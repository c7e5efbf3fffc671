/**
 * Where a node's subnet and the list of all nodes' subnets come from. The daemon knows only this interface; etcd/ and kube/
 * implement it. daemon/testing/subnet/compliance.ts is what every implementation has to pass.
 */
import type { Lease, LeaseAttributes, LeaseSubnets, NodeAddresses } from '@flannel-ts/flannel/lease';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import type { Ip } from '@flannel-ts/inet/ip';

/** One change, however many leases it has: whoever applies it does one pass. */
export type LeaseBatch =
  /** All leases at one moment: what is not in it is gone. */
  | { readonly kind: 'snapshot'; readonly leases: readonly Lease[] }
  /** No subnet is in it twice. */
  | { readonly kind: 'changes'; readonly changed: readonly Lease[]; readonly removed: readonly LeaseSubnets[] };

export interface JoinRequest {
  readonly config: NetworkConfig;
  readonly attributes: LeaseAttributes;
  /** The subnets this node had before (subnet.env); each is leased again when it is free and fits the config. */
  readonly previous?: Partial<LeaseSubnets>;
  /** Addresses that the subnet must not cover, although the network does. */
  readonly avoid?: readonly Ip[];
  /** Told while the source has to be waited for. */
  readonly report?: Report;
}

/** Undefined: all is well. Otherwise one sentence for the operator, and what mends it where the sentence alone does not tell. */
export type Report = (trouble: string | undefined, remedy?: string) => void;

/** Why there is no network config, or why the present one has no effect. */
export interface ConfigTrouble {
  /** One sentence with what the validator says. */
  readonly sentence: string;
  /** The command to begin with. */
  readonly remedy: string;
}

/** Undefined: the config in the source is valid. */
export type ReportConfig = (trouble: ConfigTrouble | undefined) => void;

/** This node's part in the network, from join() on. */
export interface Membership {
  /** With the attributes last published. */
  readonly lease: Lease;
  /** When the lease ends if it is not renewed, as Date.now(); undefined for a reservation. Absent where leases have no end. */
  end?(): number | undefined;
  /** Publishes a change of this node, such as another public address or MAC address, to the other nodes. */
  publish(attributes: LeaseAttributes, signal: AbortSignal): Promise<void>;
  /**
   * Keeps the lease: renews it, and leases it again when it was lost and no other node has it yet. Resolves when the signal aborts;
   * rejects with LEASE_TAKEN when another node has the subnet.
   */
  hold(signal: AbortSignal, report: Report): Promise<void>;
  /** For a source that publishes whether a node serves (Kubernetes: the condition NetworkUnavailable). */
  serving?(ready: boolean, reason?: string): void;
  release?(signal: AbortSignal): Promise<void>;
}

/** How the source of config and leases is doing, for readiness and metrics. */
export interface SourceStatistics {
  /** "etcd" or "kubernetes". */
  readonly name: string;
  /** Milliseconds since the leases were last known to be up to date; since the start if they never were. */
  readonly silentMs: number;
  /** The member in use. */
  readonly member?: string;
  /** For a person: the program that asks it, with what it takes to be answered. */
  readonly commandLine?: string;
  /** How often another member was chosen. */
  readonly failovers: number;
  /** Complete lists of the leases after the first one. */
  readonly resyncs: number;
  /** Whether what is in force was read from disk, since the source has not answered since the start. */
  readonly servesKept: boolean;
}

export interface SubnetManager {
  /** URLs of the source: its hosts must stay reachable, whatever the network's prefix is. */
  readonly endpoints: readonly string[];
  /**
   * The present config, and each later one that is valid; continues through outages and ends only with the signal. While what the
   * source has is not valid, `report` is told, and what is known of an earlier one may come instead.
   */
  config(signal: AbortSignal, report?: ReportConfig): AsyncIterable<NetworkConfig>;
  /** Starts with a snapshot; continues through outages and ends only with the signal. */
  peers(signal: AbortSignal): AsyncIterable<LeaseBatch>;
  /** What the source says of this node's own addresses; it goes before the flags. */
  ownAddresses?(signal: AbortSignal, report: Report): Promise<NodeAddresses>;
  /** Resolves with a subnet that is this node's alone. Rejects with OUT_OF_SUBNETS when none is free. */
  join(request: JoinRequest, signal: AbortSignal): Promise<Membership>;
  /** Gives back what is leased to this address; resolves with it. A reservation (a lease without an end) stays. */
  releaseLeases(address: Ip, signal: AbortSignal): Promise<readonly LeaseSubnets[]>;
  statistics?(): SourceStatistics;
  /** Another process of this node does the work meanwhile, or no more: until then nothing is kept on disk. */
  rest?(resting: boolean): void;
  /** This node has another address: an answer to the earlier one never comes. */
  reconnect?(): void;
  close(): void;
}

/** Waits for a valid config; rejects only with the signal's reason. */
export async function firstConfig(
  manager: SubnetManager,
  signal: AbortSignal,
  report?: ReportConfig,
): Promise<NetworkConfig> {
  for await (const config of manager.config(signal, report)) return config;
  signal.throwIfAborted();
  throw new Error('The source of the network config ended without a config');
}
