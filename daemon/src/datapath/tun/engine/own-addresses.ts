import { ipToBytes } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import type { EngineConfig } from './engine.ts';

/** The node's own addresses on the device: absent where a family is off inside. */
export interface OwnAddresses {
  readonly tunAddress: Ipv4 | undefined;
  /** 16 bytes. */
  readonly tunAddress6: Uint8Array | undefined;
}

export function ownAddresses({
  tunAddress,
  tunAddress6,
}: Pick<EngineConfig, 'tunAddress' | 'tunAddress6'>): OwnAddresses {
  return { tunAddress, tunAddress6: tunAddress6 === undefined ? undefined : ipToBytes(tunAddress6) };
}
