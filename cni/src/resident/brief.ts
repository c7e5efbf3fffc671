import type { JsonObject } from '@flannel-ts/flannel/go-json';
import { netConfOf } from '@flannel-ts/flannel/netconf';
import { delegateType, ipamType, renderDelegate } from '../delegate.ts';
import { booleanField } from '../json.ts';
import { programName } from '../programs/table.ts';
import { type Invocation, readConfig, readEnvironment } from '../protocol.ts';
import { ScratchFiles } from '../scratch.ts';
import type { LauncherRequest } from './message.ts';

/**
 * Whether a call waits for nothing but the kernel. One that runs another plugin, or looks for other hosts' addresses, may take
 * long, and the resident process answers one at a time: those get a process of their own.
 */
export function isBrief({ argv0, env, stdin }: LauncherRequest): boolean {
  try {
    const invocation = readEnvironment(env);
    if (invocation.command === 'GC') return false;
    const { config } = readConfig(stdin);
    if (programName(argv0) !== 'flannel') return asksNobody(config);
    return delegated(invocation, config).every((conf) => delegateType(conf) === 'bridge' && asksNobody(conf));
  } catch {
    return true; // an error is told at once
  }
}

/** Of the configuration that comes, and of what an ADD has kept. */
function delegated({ command, containerId, ifName }: Invocation, config: JsonObject): JsonObject[] {
  const conf = netConfOf({ ...config, prevResult: {} });
  const confs = [renderDelegate(conf, undefined)];
  if (command !== 'DEL' && command !== 'CHECK') return confs;
  const kept = new ScratchFiles(conf.dataDir, containerId, ifName).read()?.conf;
  return kept === undefined ? confs : [...confs, kept];
}

function asksNobody(conf: JsonObject): boolean {
  const isOwnStore = ['host-local', ''].includes(ipamType(conf));
  return isOwnStore && booleanField(conf, 'enabledad') !== true;
}
