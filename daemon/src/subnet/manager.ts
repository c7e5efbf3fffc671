/**
 * Where a node's subnet and the list of all nodes' subnets come from. The daemon knows only this interface; etcd/ is one
 * implementation. compliance.ts is what every implementation has to pass.
 */
import type { Lease, LeaseAttributes, LeaseSubnets } from '@flannel-ts/flannel/lease';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import type { Ip } from '@flannel-ts/inet/ip';

export type LeaseEvent =
  /** The whole truth at one moment: what is not in it is gone. */
  | { readonly type: 'snapshot'; readonly leases: readonly Lease[] }
  /** New, or the same subnet with other attributes. */
  | { readonly type: 'added'; readonly lease: Lease }
  | { readonly type: 'removed'; readonly subnets: LeaseSubnets };

export interface AcquireRequest {
  readonly config: NetworkConfig;
  readonly attributes: LeaseAttributes;
  /** The subnets this node had before (subnet.env); each is taken again when it is free and fits the config. */
  readonly previous?: Partial<LeaseSubnets>;
}

export interface SubnetManager {
  /** Waits until there is a valid config; rejects only with the signal's reason. */
  getNetworkConfig(signal: AbortSignal): Promise<NetworkConfig>;
  /** The present config, and each later one that is valid; goes on through outages, ends only with the signal. */
  watchNetworkConfig(signal: AbortSignal): AsyncIterable<NetworkConfig>;
  /** Resolves with a subnet that is this node's alone. Rejects with OUT_OF_SUBNETS when none is free. */
  acquireLease(request: AcquireRequest, signal: AbortSignal): Promise<Lease>;
  /**
   * Keeps an acquired lease: renews it, takes it again when it was lost and nobody has it yet. Resolves when the signal
   * aborts; rejects with LEASE_TAKEN when another node has the subnet.
   */
  holdLease(lease: Lease, signal: AbortSignal): Promise<void>;
  /** When an acquired lease ends if it is not renewed, as Date.now(); undefined for one without an end. */
  leaseEnd(lease: Lease): number | undefined;
  /** Starts with a snapshot, goes on through outages, ends only with the signal. */
  watchLeases(signal: AbortSignal): AsyncIterable<LeaseEvent>;
  /** Gives back what is leased to this address; resolves with it. A reservation (a lease without an end) stays. */
  releaseLeases(address: Ip, signal: AbortSignal): Promise<readonly LeaseSubnets[]>;
  close(): void;
}
