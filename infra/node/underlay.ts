/** What a backend needs of a stack's network: its machines have IPv4 addresses only. */
import type { BackendConfig } from '@flannel-ts/flannel/backend-config';
import { type BackendNeeds, backendNeeds, innerMtu } from '@flannel-ts/flannel/backend-needs';

export function underlayNeeds(backend: BackendConfig): BackendNeeds {
  return backendNeeds(backend, [4]);
}

/** MTU of the pods, where the machines' interfaces have this one. */
export function podMtu(backend: BackendConfig, mtu: number): number {
  return innerMtu(backend, 4, mtu);
}
