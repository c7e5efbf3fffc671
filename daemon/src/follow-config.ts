/** Whether a node that serves follows a new network config, or says why not. */
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { configChange } from './config-change.ts';
import { messageOf } from './errors.ts';
import { backendFor } from './join.ts';
import type { NetworkParts } from './network-parts.ts';
import type { ConfigTrouble } from './subnet/manager.ts';

/** Of a node that serves by an older config: that the present one is not valid goes before what keeps it from following another. */
export class ConfigNotes {
  private trouble: ConfigTrouble | undefined;
  private waits: string | undefined;

  constructor(private readonly readiness: Pick<NetworkParts['readiness'], 'note'>) {}

  setTrouble(trouble: ConfigTrouble | undefined): void {
    this.trouble = trouble;
    this.show();
  }

  /** Whether it is said for the first time. */
  setWaits(waits: string | undefined): boolean {
    const isNew = waits !== this.waits;
    this.waits = waits;
    this.show();
    return isNew;
  }

  private show(): void {
    const { trouble, waits } = this;
    this.readiness.note(
      'network config',
      trouble
        ? `${trouble.sentence}; this node goes on with an earlier one until it is put right: ${trouble.remedy}`
        : waits && `the network config has changed: ${waits}`,
    );
  }
}

/**
 * `join`: it takes a new start. Otherwise what keeps this node from following is noted, and it goes on as it is: `waits` for what may
 * come, or `restart` until flanneld is started again. `findAddresses` throws when this node has not got those by which the others
 * would reach it.
 */
export function followConfig(
  config: NetworkConfig,
  next: NetworkConfig,
  parts: NetworkParts,
  notes: ConfigNotes,
  findAddresses: (next: NetworkConfig) => void,
): 'followed' | 'join' | 'waits' | 'restart' {
  const { log } = parts;
  const change = configChange(config, next);
  let waits: string | undefined;
  if (change.kind === 'restart') waits = `${change.reason}, which takes effect when flanneld is started again`;
  if (change.kind === 'join') {
    try {
      backendFor(next, parts);
      findAddresses(next);
      log.info(`The network config has changed (${change.what}): joining anew`);
    } catch (error) {
      waits = `this node cannot follow it: ${messageOf(error)}`;
    }
  }
  const isNew = notes.setWaits(waits);
  if (waits !== undefined) {
    if (isNew) log.warn(`The network config has changed: ${waits}`);
    return change.kind === 'restart' ? 'restart' : 'waits';
  }
  return change.kind === 'join' ? 'join' : 'followed';
}
