/** Whether a node that serves follows a new network config, or says why not. */
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { configChange } from './config-change.ts';
import { messageOf } from './errors.ts';
import { backendFor } from './join.ts';
import type { NetworkParts } from './network-parts.ts';

/** `join`: it takes a new start. `waits`: what keeps this node from following is noted, and it goes on as it is. */
export function followConfig(
  config: NetworkConfig,
  next: NetworkConfig,
  parts: NetworkParts,
): 'followed' | 'join' | 'waits' {
  const { readiness, log } = parts;
  const change = configChange(config, next);
  let waits: string | undefined;
  if (change.kind === 'restart') waits = `${change.reason}, which takes effect when flanneld is started again`;
  if (change.kind === 'join') {
    try {
      backendFor(next, parts);
      log.info(`The network config has changed (${change.what}): joining anew`);
    } catch (error) {
      waits = `this node cannot follow it: ${messageOf(error)}`;
    }
  }
  if (waits !== undefined) log.warn(`The network config has changed: ${waits}`);
  readiness.note('network config', waits && `the network config has changed: ${waits}`);
  if (waits !== undefined) return 'waits';
  return change.kind === 'join' ? 'join' : 'followed';
}
